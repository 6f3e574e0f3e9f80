/** Tokens, before a broker that knows them. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import WebSocket from "ws";
import { WidecastChannel } from "../src/channel.js";
import type { ConnectionOptions } from "../src/api.js";
import { Connection } from "../src/connection.js";
import { Ear } from "./heard.js";
import { StubBroker } from "./stub_broker.js";

let broker: StubBroker;
const opened: Connection[] = [];
beforeEach(async () => void (broker = await StubBroker.start()));
afterEach(() => {
  opened.splice(0).forEach((connection) => connection.close());
  broker.close();
});

function machine(options: ConnectionOptions = {}): Connection {
  const connection = new Connection(new URL(`${broker.url}/`), {
    WebSocket: WebSocket as never,
    minDelay: 20,
    maxDelay: 50,
    ...options,
  });
  opened.push(connection);
  return connection;
}

const until = (assertion: () => void): Promise<void> => vi.waitFor(assertion, { timeout: 10_000, interval: 5 });
const refused = (code = "unauthorized") => ({ type: "error", code, message: "no", retryable: false });
const reasons = (status: Ear): string[] =>
  status.events.map((event) => (event as unknown as CustomEvent<{ reason: string }>).detail.reason);
const types = (): string[] => broker.received.flat().map(({ type }) => type);
const tokens = (): unknown[] => broker.commands("authenticate").map((frame) => frame["token"]);

test("nothing is sent before the broker has accepted the token", async () => {
  let tell!: (token: string) => void;
  const channel = new WidecastChannel("news", { broker: machine({ token: () => new Promise((resolve) => (tell = resolve)) }) });
  const receipt = channel.publish("first");
  const history = channel.connection!.request({ type: "publish", channel: "other", data: new Uint8Array([1]) });
  await until(() => expect(channel.connection!.state).toBe("open"));
  await until(() => expect(tell).toBeDefined());
  channel.postMessage("second");
  expect(types()).toEqual([]);
  tell("secret");
  expect(await receipt).toEqual({ offset: 1, epoch: "e" });
  await Promise.all([channel.ready, history]);
  expect(types()[0]).toBe("authenticate");
  expect(tokens()).toEqual(["secret"]);
});

test("a source of tokens is asked at each connect, and the session goes on", async () => {
  let count = 0;
  const channel = new WidecastChannel("news", { broker: machine({ token: () => `token ${++count}` }) });
  await channel.ready;
  const ear = new Ear(channel);
  broker.publish("news", 1);
  await ear.until(1);
  broker.cut();
  broker.publish("news", 2);
  expect(await ear.until(2)).toEqual([1, 2]);
  expect(tokens()).toEqual(["token 1", "token 2"]);
});

test("when the broker asks in the middle of a session, nothing is lost, doubled or out of order", async () => {
  let count = 0;
  const channel = new WidecastChannel("news", { broker: machine({ token: () => `token ${++count}` }) });
  await channel.ready;
  const ear = new Ear(channel);
  const receipts = [];
  for (let i = 0; i < 60; i++) {
    if (i % 20 === 10) {
      // A demand that comes before the last one is met asks for nothing more.
      await until(() => expect(tokens().length).toBe(1 + (i - 10) / 20));
      broker.demand("the token has expired");
    }
    broker.publish("news", i);
    receipts.push(channel.publish(`own ${i}`));
    if (i % 7 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  expect(await ear.until(60)).toEqual(Array.from({ length: 60 }, (_, i) => i));
  const offsets = (await Promise.all(receipts)).map(({ offset }) => offset);
  expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
  expect(new Set(offsets).size).toBe(60);
  expect(tokens()).toEqual(["token 1", "token 2", "token 3", "token 4"]);
});

test("a proof is renewed before it expires, without joining anew", async () => {
  let count = 0;
  const proved: number[] = [];
  broker.judge = () => {
    proved.push(Date.now());
    return { type: "authenticated", user: "ann", expires_at: Math.floor(Date.now() / 1000) + 2 };
  };
  const channel = new WidecastChannel("news", { broker: machine({ token: () => `token ${++count}` }) });
  await channel.ready;
  await until(() => expect(proved.length).toBeGreaterThan(1));
  // 85 % of between one and two seconds, which is as exact as the time of expiry is.
  expect(proved[1]! - proved[0]!).toBeGreaterThan(500);
  expect(broker.commands("subscribe").length).toBe(1);
});

test("a page knows who its user is, for as long as the broker accepts the proof", async () => {
  broker.isStrict = false;
  const connection = machine();
  const channel = new WidecastChannel("news", { broker: connection });
  await channel.ready;
  expect(connection.user).toBeUndefined();
  broker.judge = (token) => (token === "bob" ? refused() : { type: "authenticated", user: token });
  await connection.authenticate("ann");
  expect(connection.user).toBe("ann");
  // The last proof goes on to count.
  await expect(connection.authenticate("bob")).rejects.toThrow();
  expect(connection.user).toBe("ann");
  broker.demand("the token has expired");
  await until(() => expect(connection.user).toBeUndefined());
  await connection.authenticate("eve");
  expect(connection.user).toBe("eve");
});

test("a proof for longer than timers can wait, or one that a wrong clock finds expired, is not renewed all the time", async () => {
  for (const expires_at of [Date.now() / 1000 + 1e9, 1]) {
    broker.judge = () => ({ type: "authenticated", expires_at });
    const connection = machine({ token: () => "token", maxDelay: 5000 });
    await connection.authenticate();
    const before = tokens().length;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(tokens().length).toBe(before);
  }
});

test("a page is asked for the token once, and its channels go on with it", async () => {
  broker.isStrict = false;
  const connection = machine();
  const [channel, other] = [1, 2].map(() => new WidecastChannel("news", { broker: connection }));
  await Promise.all([channel!.ready, other!.ready]);
  const ear = new Ear(channel!);
  const asked = new Ear(connection, "auth_required");
  const status = new Ear(channel!, "status");
  broker.demand("log in, please");
  await until(() => expect(reasons(status)).toContain("WidecastError: who are you?"));
  expect(asked.events.map((event) => (event as unknown as CustomEvent).detail)).toEqual([{ reason: "log in, please" }]);
  await expect(channel!.publish("too early")).rejects.toMatchObject({ code: "unauthorized" });
  broker.publish("news", "missed");
  await connection.authenticate("secret");
  expect(await ear.until(1)).toEqual(["missed"]);
  expect(await channel!.publish("later")).toEqual({ offset: 2, epoch: "e" });
  expect(asked.events.length).toBe(1);
});

test("what needs a token is refused without one, and tried again with the right one", async () => {
  const connection = machine();
  const asked = new Ear(connection, "auth_required");
  const channel = new WidecastChannel("news", { broker: connection });
  const ear = new Ear(channel);
  broker.judge = (token) => (token === "right" ? { type: "authenticated" } : refused());
  await Promise.all([
    expect(channel.ready).rejects.toMatchObject({ name: "WidecastError", code: "unauthorized" }),
    expect(channel.publish(1)).rejects.toMatchObject({ code: "unauthorized" }),
    asked.until(1),
  ]);
  await expect(connection.authenticate("wrong")).rejects.toMatchObject({ name: "WidecastError", code: "unauthorized" });
  await asked.until(2);
  await connection.authenticate("right");
  await until(() => expect(broker.commands("subscribe").length).toBe(2));
  broker.publish("news", 2);
  expect(await ear.until(1)).toEqual([2]);
});

test("what is sent waits while a source of tokens fails after the end of the last one", async () => {
  let isAway = false;
  const token = () => {
    if (isAway) throw new Error("the server of tokens is away");
    return "token";
  };
  const channel = new WidecastChannel("news", { broker: machine({ token }) });
  await channel.ready;
  const status = new Ear(channel, "status");
  isAway = true;
  broker.demand("the token has expired");
  await until(() => expect(reasons(status)).toContain("Error: the server of tokens is away"));
  const receipt = channel.publish("waits");
  isAway = false;
  expect(await receipt).toEqual({ offset: 1, epoch: "e" });
});

test("who was put out of a channel does not come back by itself", async () => {
  const connection = machine({ token: "token" });
  const [channel, other] = ["news", "other"].map((name) => new WidecastChannel(name, { broker: connection }));
  await Promise.all([channel!.ready, other!.ready]);
  const status = new Ear(channel!, "status");
  broker.kick("news");
  await until(() => expect(reasons(status)).toEqual(["WidecastError: unsubscribed: kicked"]));
  broker.cut();
  await until(() => expect(broker.commands("subscribe").map(({ channel }) => channel)).toEqual(["news", "other", "other"]));
});

test("a source that fails is asked again, and says why meanwhile", async () => {
  let count = 0;
  const token = () => {
    if (++count < 3) throw new Error("the server of tokens is away");
    return "token";
  };
  const connection = machine({ token });
  const status = new Ear(connection, "status");
  const channel = new WidecastChannel("news", { broker: connection });
  await channel.ready;
  expect(types()[0]).toBe("authenticate");
  expect(reasons(status).filter((reason) => /is away/.test(reason)).length).toBe(2);
});

test("who calls authenticate hears why it failed", async () => {
  const connection = machine();
  await expect(connection.authenticate()).rejects.toMatchObject({ code: "unauthorized" });
  broker.judge = () => refused("forbidden");
  await expect(connection.authenticate("no")).rejects.toMatchObject({ code: "forbidden", message: "no" });
  await expect(connection.authenticate(() => Promise.reject(new Error("not at home")))).rejects.toThrow("not at home");
  broker.judge = () => ({ type: "authenticated" });
  await connection.authenticate("yes");
  const late = connection.authenticate(() => new Promise(() => {}));
  connection.close();
  await expect(late).rejects.toMatchObject({ code: "closed" });
  await expect(connection.authenticate("yes")).rejects.toMatchObject({ code: "closed" });
});

test("a broker that knows no tokens is used all the same", async () => {
  broker.isStrict = false;
  broker.judge = () => refused();
  const connection = machine({ token: "token" });
  const status = new Ear(connection, "status");
  const channel = new WidecastChannel("news", { broker: connection });
  await channel.ready;
  expect(await channel.publish(1)).toEqual({ offset: 1, epoch: "e" });
  expect(JSON.stringify(status.events.map((event) => (event as unknown as CustomEvent).detail))).toContain("WidecastError: no");
});

test("a token that comes too late for its session is not sent in the next", async () => {
  const tell: ((token: string) => void)[] = [];
  const channel = new WidecastChannel("news", { broker: machine({ token: () => new Promise((resolve) => tell.push(resolve)) }) });
  await until(() => expect(tell.length).toBe(1));
  broker.cut();
  await until(() => expect(tell.length).toBe(2));
  tell[0]!("old");
  tell[1]!("new");
  await channel.ready;
  expect(tokens()).toEqual(["new"]);
});

test("what the broker cannot do now is asked again when it says so", async () => {
  const times = new Map<string, number[]>();
  broker.refuse = ({ type }) => {
    const asked = times.get(type) ?? [];
    times.set(type, [...asked, Date.now()]);
    const busy = { type: "error", code: "share_exceeded", message: "wait", retryable: true, retry_after_ms: 300 };
    return asked.length ? undefined : busy;
  };
  // Nothing would come again within the test by itself.
  const connection = machine({ token: "token", minDelay: 3_600_000, maxDelay: 3_600_000 });
  const channel = new WidecastChannel("news", { broker: connection });
  await channel.ready;
  expect(await channel.publish(1)).toEqual({ offset: 1, epoch: "e" });
  await channel.history();
  for (const type of ["authenticate", "subscribe", "publish", "history"]) {
    const [first, second] = times.get(type)!;
    expect(second! - first!).toBeGreaterThanOrEqual(290);
  }
});
