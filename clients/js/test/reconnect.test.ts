/** Bad networks between the client and a real broker. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WidecastChannel } from "../src/channel.js";
import type { ConnectionOptions } from "../src/api.js";
import type { Connection } from "../src/connection.js";
import type { TransportName } from "../src/transports/index.js";
import { type Broker, startBroker } from "./broker.js";
import { startNarrow } from "./delay.js";
import { Ear } from "./heard.js";
import { endAll, openMachine } from "./machines.js";
import { Proxy } from "./proxy.js";

let broker: Broker;
let proxy: Proxy;
beforeEach(async () => {
  broker = await startBroker({ settings: { WIDECAST_SHUTDOWN_RECONNECT_WINDOW_MS: "200" } });
  proxy = await Proxy.start(broker.url);
});
afterEach(async () => {
  endAll();
  proxy.close();
  await broker.kill();
});

const machine = (url: string, options: ConnectionOptions = {}): Connection =>
  openMachine(url, { minDelay: 50, maxDelay: 200, ...options });

const channel = (url: string, options: ConnectionOptions = {}) => new WidecastChannel("news", { broker: machine(url, options) });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something is so. */
async function until(what: string, isSo: () => boolean, patience = 20_000): Promise<void> {
  for (const deadline = Date.now() + patience; !isSo(); await pause(5))
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
}

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s", (name) => {
  test("nothing is lost, doubled or out of order when connections are cut", async () => {
    const transports: TransportName[] = [name];
    const [cutSender, cutReader] = [channel(proxy.url, { transports }), channel(proxy.url, { transports })];
    const steady = channel(broker.url);
    await Promise.all([cutSender.ready, cutReader.ready, steady.ready]);
    const ears = [new Ear(steady), new Ear(cutReader)];
    const gap = new Ear(cutReader, "gap");
    const receipts = [];
    for (const i of numbers(200)) {
      receipts.push(cutSender.publish(i));
      if (i % 40 === 20) proxy.cut();
      if (i % 5 === 0) await pause(10);
    }
    const offsets = (await Promise.all(receipts)).map(({ offset }) => offset);
    expect(offsets).toEqual(numbers(200).map((i) => i + 1));
    for (const ear of ears) expect(await ear.until(200)).toEqual(numbers(200));
    expect(gap.events).toEqual([]);
  });

  test("a message is heard that takes longer on a narrow way than the broker may be silent", async () => {
    await broker.kill();
    broker = await startBroker({ settings: { WIDECAST_HEARTBEAT_INTERVAL_MS: "400" } });
    const narrow = await startNarrow(broker.url, 40_000);
    const connection = machine(narrow.url, { transports: [name], replyTimeout: 200 });
    const [receiver, sender] = [new WidecastChannel("news", { broker: connection }), channel(broker.url, { compress: false })];
    await Promise.all([receiver.ready, sender.ready]);
    const [ear, gap] = [new Ear(receiver), new Ear(receiver, "gap")];
    const states: string[] = [];
    connection.addEventListener("status", (event) => void states.push((event as CustomEvent<{ state: string }>).detail.state));
    sender.postMessage(new Uint8Array(60_000));
    sender.postMessage("behind it");
    const [large, behind] = await ear.until(2);
    expect([(large as Uint8Array).length, behind, gap.events]).toEqual([60_000, "behind it", []]);
    // It shows that bytes come, so that the connection is not even given up once.
    if (name === "stream") expect(states).toEqual([]);
    narrow.close();
  });

  test("a broker that starts anew is told from a gap, and hears what was queued", async () => {
    const transports: TransportName[] = [name];
    const [one, two] = [channel(broker.url, { transports }), channel(broker.url, { transports })];
    await Promise.all([one.ready, two.ready]);
    const [ear, gap] = [new Ear(two), new Ear(two, "gap")];
    await one.publish("before");
    await ear.until(1);
    await broker.kill();
    const queued = numbers(20).map((i) => one.publish(i));
    await pause(100);
    broker = await startBroker({ port: broker.port });
    await Promise.all(queued);
    await gap.until(1);
    // Whoever came back second has missed what was sent before; it was told.
    one.postMessage("end");
    await until("the end is heard", () => ear.data.includes("end"));
    const after = ear.data.slice(1);
    expect(after).toEqual([...numbers(20), "end"].slice(-after.length));
  });
});

test.each<[string, "refuse" | "hang" | "buffer", string[], TransportName]>([
  ["a refused upgrade", "refuse", ["ws"], "sse"],
  ["an upgrade without an answer", "hang", ["ws"], "sse"],
  ["a buffered event stream", "buffer", ["ws", "sse"], "stream"],
  ["buffered streams", "buffer", ["ws", "sse", "stream"], "poll"],
])("%s is noticed, and the next transport taken", async (_, manner, parts, expected) => {
  for (const part of parts) proxy.manners[part] = part === "ws" && manner === "buffer" ? "hang" : manner;
  const one = channel(proxy.url, { connectTimeout: 3000 });
  await one.ready;
  expect(one.connection!.transport).toBe(expected);
});

test("a stream that stops after its welcome is given up for the next", async () => {
  // So long that a machine that is only busy does not look like a stream that stops.
  const one = channel(proxy.url, { replyTimeout: 3000 });
  await one.ready;
  const other = channel(broker.url);
  await other.ready;
  const ear = new Ear(other);
  proxy.manners["ws"] = "silent";
  one.postMessage("through");
  expect(await ear.until(1)).toEqual(["through"]);
  expect(one.connection!.transport).toBe("sse");
});

test("the better transport is taken again when it gets through, without a loss", async () => {
  proxy.manners["ws"] = "refuse";
  const [one, other] = [channel(proxy.url, { upgradeDelay: 100 }), channel(broker.url)];
  await Promise.all([one.ready, other.ready]);
  expect(one.connection!.transport).toBe("sse");
  const [ear, far] = [new Ear(one), new Ear(other)];
  const posting = (async () => {
    for (const i of numbers(100)) {
      one.postMessage(i);
      other.postMessage(i);
      if (i === 20) delete proxy.manners["ws"];
      await pause(5);
    }
  })();
  await until("it is a WebSocket", () => one.connection!.transport === "websocket");
  await posting;
  expect(await ear.until(100)).toEqual(numbers(100));
  expect(await far.until(100)).toEqual(numbers(100));
});

test("a connection that went silent is noticed by its heartbeat", async () => {
  await broker.kill();
  broker = await startBroker({ port: broker.port, settings: { WIDECAST_HEARTBEAT_INTERVAL_MS: "200" } });
  const one = channel(proxy.url, { replyTimeout: 1000 });
  await one.ready;
  const ear = new Ear(one);
  proxy.manners["ws"] = "silent";
  await until("it is given up", () => one.connection!.state !== "open");
  delete proxy.manners["ws"];
  await broker.publish("news", "after");
  expect(await ear.until(1)).toEqual(["after"]);
});

test("what is posted before there is a broker is sent once, up to a bound", async () => {
  await broker.kill();
  const one = channel(broker.url, { queueMessages: 10 });
  const receipts = numbers(10).map((i) => one.publish(i));
  expect(() => one.postMessage(10)).toThrowError(expect.objectContaining({ name: "QuotaExceededError" }));
  await expect(one.publish(10)).rejects.toThrowError(expect.objectContaining({ name: "QuotaExceededError" }));
  broker = await startBroker({ port: broker.port });
  expect((await Promise.all(receipts)).map(({ offset }) => offset)).toEqual(numbers(10).map((i) => i + 1));
  one.postMessage(11);
});

test("after enough attempts the connection is closed, and says so", async () => {
  await broker.kill();
  const one = channel(broker.url, { maxAttempts: 2, minDelay: 1 });
  const status = new Ear(one, "status");
  const receipt = one.publish(1);
  await expect(receipt).rejects.toMatchObject({ name: "WidecastError", code: "closed" });
  await expect(one.ready).rejects.toMatchObject({ code: "closed" });
  expect(status.events.map((event) => (event as unknown as CustomEvent<{ state: string }>).detail.state)).toContain("closed");
  expect(one.connection!.state).toBe("closed");
});

test("a channel that is closed at once still sends what was posted", async () => {
  const other = channel(broker.url);
  await other.ready;
  const ear = new Ear(other);
  const one = channel(broker.url);
  one.postMessage("last words");
  one.close();
  expect(await ear.until(1)).toEqual(["last words"]);
});

test("a connection nobody needs is closed, and opened again", async () => {
  const connection = machine(broker.url, { idleTimeout: 50 });
  const one = new WidecastChannel("news", { broker: connection });
  await one.ready;
  one.close();
  await until("it is closed", () => connection.state === "idle");
  const again = new WidecastChannel("news", { broker: connection });
  await again.ready;
  expect(connection.state).toBe("open");
});
