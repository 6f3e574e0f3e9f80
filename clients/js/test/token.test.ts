/** Tokens at a real broker: what they open, and their renewal. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ConnectionOptions, Status } from "../src/api.js";
import { WidecastChannel } from "../src/channel.js";
import type { TransportName } from "../src/transports/index.js";
import { type Broker, startBroker } from "./broker.js";
import { Ear } from "./heard.js";
import { endAll, openMachine } from "./machines.js";
import { signToken, tokenSettings } from "./tokens.js";

const secret = tokenSettings();

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ settings: { ...secret.settings, WIDECAST_NAMESPACE_OPEN_ANONYMOUS: "subscribe,publish" } });
});
afterEach(endAll);
afterAll(async () => {
  await broker.kill();
  secret.remove();
});

/** A token that lets its owner listen and publish in one channel, for so many seconds. */
const token = (channel: string, seconds?: number): string => signToken({ [channel]: ["subscribe", "publish"] }, seconds);

const open = (name: string, options: ConnectionOptions): WidecastChannel =>
  new WidecastChannel(name, { broker: openMachine(broker.url, { minDelay: 50, maxDelay: 200, ...options }) });

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s", (name) => {
  const transports: TransportName[] = [name];

  test("a token opens the channels that it names, and no others", async () => {
    const [one, other] = [
      open("news", { transports, token: token("news") }),
      open("news", { transports, token: async () => token("news") }),
    ];
    const ear = new Ear(other);
    await Promise.all([one.ready, other.ready]);
    one.postMessage("hello");
    expect(await ear.until(1)).toEqual(["hello"]);
    await expect(open("secret", { transports, token: token("news") }).ready).rejects.toThrow(
      "does not allow subscribe on secret",
    );
  });

  test("when a token ends, what only it allowed stops, and the rest goes on", async () => {
    const connection = openMachine(broker.url, { transports, token: token("news"), minDelay: 50 });
    const [news, free] = ["news", "open:a"].map((channel) => new WidecastChannel(channel, { broker: connection }));
    const [heard, freely, asked, status] = [
      new Ear(news!),
      new Ear(free!),
      new Ear(connection, "auth_required"),
      new Ear(news!, "status"),
    ];
    await Promise.all([news!.ready, free!.ready]);
    // Only now, so that it does not end while the channels are joined.
    await connection.authenticate(token("news", 3));
    // Before the end, and at the end.
    await asked.until(1);
    const reasons = (): string[] => status.events.map((event) => (event as unknown as CustomEvent<Status>).detail.reason);
    await expect.poll(reasons).toContain("WidecastError: subscribe on news needs a token or an API key");
    expect(reasons()).toContain("WidecastError: the token has expired");
    expect(connection.state).toBe("open");
    const sender = open("news", { transports, token: token("news") });
    await sender.publish("missed");
    const other = new WidecastChannel("open:a", { broker: sender.connection! });
    await other.publish("for all");
    expect(await freely.until(1)).toEqual(["for all"]);
    await free!.publish("still allowed");
    await expect(news!.publish("not any more")).rejects.toMatchObject({ code: "unauthorized" });
    expect(heard.data).toEqual([]);
    await connection.authenticate(token("news"));
    expect(await heard.until(1)).toEqual(["missed"]);
    expect(freely.data).toEqual(["for all"]);
  });

  test("who has no token is told what needs one, and how to give it", async () => {
    const channel = open("news", { transports });
    const asked = new Ear(channel.connection!, "auth_required");
    await expect(channel.ready).rejects.toMatchObject({
      code: "unauthorized",
      message: "subscribe on news needs a token or an API key",
    });
    await asked.until(1);
    const ear = new Ear(channel);
    const wrong = `${token("news").slice(0, -8)}AAAAAAAA`;
    await expect(channel.connection!.authenticate(wrong)).rejects.toThrow("the token's signature is not by a configured key");
    await channel.connection!.authenticate(token("news"));
    await channel.publish("as a user");
    const sender = open("news", { transports, token: token("news") });
    await sender.publish("heard");
    expect(await ear.until(1)).toEqual(["heard"]);
  });

  test("a new token is fetched before the old one ends, and nothing is missed", async () => {
    let fetched = 0;
    const renewing = open("news", { transports, token: () => token("news", ++fetched > 2 ? 600 : 3) });
    const ear = new Ear(renewing);
    await renewing.ready;
    const sender = open("news", { transports, token: token("news") });
    await sender.ready;
    let sent = 0;
    while (fetched < 3) {
      await sender.publish(sent++);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await sender.publish(sent++);
    expect(await ear.until(sent)).toEqual(Array.from({ length: sent }, (_, number) => number));
  });
});
