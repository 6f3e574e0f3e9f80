/** Large messages, which travel compressed. */
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { compress, encode, extension, inflate, write } from "../src/codec/index.js";
import type { ConnectionOptions } from "../src/api.js";
import type { Connection } from "../src/connection.js";
import type { ChannelListener } from "../src/subscriptions.js";
import type { ChannelOptions } from "../src/api.js";
import { WidecastChannel } from "../src/channel.js";
import type { Frame } from "../src/frames.js";
import type { TransportName } from "../src/transports/index.js";
import { type Broker, startBroker } from "./broker.js";
import { Ear } from "./heard.js";
import { endAll, openChannel, openMachine, untilTheEnd } from "./machines.js";

let broker: Broker;
beforeAll(async () => void (broker = await startBroker()));
afterAll(() => broker.kill());
afterEach(() => (endAll(), vi.unstubAllGlobals()));

const machine = (options: ConnectionOptions = {}): Connection => openMachine(broker.url, { share: false, ...options });

const channel = (name: string, options: ConnectionOptions = {}, more: ChannelOptions = {}): WidecastChannel =>
  openChannel(name, machine(options), more);

let names = 0;
const fresh = () => `gzip-${process.pid}-${++names}`;

/** What compresses well: a table as backends send it. */
const TABLE = Array.from({ length: 500 }, (_, i) => ({ id: i, name: `article ${i}`, price: i * 1.25, at: new Date(i) }));
/** What does not. */
const NOISE = crypto.getRandomValues(new Uint8Array(20_000));

/** The data of a channel's past as it is on the wire. */
async function wire(name: string): Promise<Uint8Array[]> {
  const connection = machine({ transports: ["websocket"] }).hold();
  const { messages } = await connection.request({ type: "history", channel: name });
  return messages!.map(({ data }) => data!);
}

/** A compressed value with this gzip. */
const compressed = (gzip: Uint8Array): Uint8Array => write(extension(31, gzip)).bytes;

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s", (name) => {
  test("a large message is heard as it was, in its order, and kept compressed", async () => {
    const transports: TransportName[] = [name];
    const [one, other] = [channel(fresh(), { transports }), channel(`gzip-${process.pid}-${names}`, { transports })];
    await Promise.all([one.ready, other.ready]);
    const ear = new Ear(other);
    const posts = ["small", TABLE, 1, NOISE, 2, "x".repeat(100_000), 3];
    for (const post of posts) one.postMessage(post);
    expect(await ear.until(posts.length)).toEqual(posts);
    expect(ear.events.map(({ lastEventId }) => lastEventId.replace(/.*-/, ""))).toEqual(posts.map((_, i) => `${i + 1}`));
    expect((await other.history()).map(({ data }) => data)).toEqual(posts);
    const [, table, , noise, , text] = (await wire(one.name)).map((data) => data.length);
    expect(table).toBeLessThan(encode(TABLE).size / 4);
    expect(noise).toBe(encode(NOISE).size);
    expect(text).toBeLessThan(1000);
  });
});

test("who reads JSON hears the value", async () => {
  const one = channel(fresh());
  await one.publish(["spam".repeat(5000)]);
  const answer = await fetch(`${broker.url}/channels/${one.name}/messages`);
  expect((await answer.json()).messages).toMatchObject([{ data: ["spam".repeat(5000)] }]);
});

test("the option says from which size on, or that nothing is compressed", async () => {
  const name = fresh();
  const text = "x".repeat(1000);
  await channel(name).publish(text);
  await channel(name, { compress: 500 }).publish(text);
  await channel(name, { compress: false }).publish(text.repeat(100));
  await channel(name, { compress: 0 }).publish(text.repeat(100));
  vi.stubGlobal("CompressionStream", undefined);
  await channel(name, { compress: 500 }).publish(text);
  expect((await wire(name)).map(({ length }) => length > 1000)).toEqual([true, false, true, true, true]);
});

test("a Blob is compressed when its bytes are there, and nothing overtakes it", async () => {
  const [one, other] = [channel(fresh()), channel(`gzip-${process.pid}-${names}`)];
  await other.ready;
  const ear = new Ear(other);
  one.postMessage(new Blob(["spam ".repeat(10_000)], { type: "text/plain" }));
  one.postMessage("after");
  const [blob, after] = await ear.until(2);
  expect([await (blob as Blob).text(), (blob as Blob).type, after]).toEqual(["spam ".repeat(10_000), "text/plain", "after"]);
  expect((await wire(one.name))[0]!.length).toBeLessThan(1000);
});

test("a value that is too large is refused, however small it is compressed", async () => {
  const one = channel(fresh());
  await one.ready;
  const text = "x".repeat(2_000_000);
  await expect(one.publish(text)).rejects.toMatchObject({ code: "message_too_large" });
  // Nor does the broker take it from a client that does not look.
  one.connection!.messageBytes = Infinity;
  await expect(one.publish(text)).rejects.toMatchObject({ code: "message_too_large" });
});

test("where nothing can be inflated, what comes is JSON", async () => {
  const one = channel(fresh());
  vi.stubGlobal("DecompressionStream", undefined);
  const other = channel(one.name);
  await other.ready;
  expect(other.connection?.transport).toBe("sse");
  const ear = new Ear(other);
  one.postMessage(TABLE);
  expect(await ear.until(1)).toEqual([TABLE]);
});

describe("what has come", () => {
  const member = { id: "1", data: encode(null).bytes };
  const GOOD = compressed(gzipSync(encode(TABLE).bytes));

  /** A channel that hears what it is told here. */
  async function told(): Promise<{ channel: WidecastChannel; ear: Ear; tell: ChannelListener }> {
    const connection = machine();
    let tell!: ChannelListener;
    const { join } = connection;
    connection.join = (channel, listener, wish) => join.call(connection, channel, (tell = listener), wish);
    const told = new WidecastChannel(fresh(), { broker: connection });
    untilTheEnd(told);
    await told.ready;
    return { channel: told, ear: new Ear(told, "message", "messageerror", "gap", "join", "leave"), tell };
  }
  const message = (data: Uint8Array, offset = 1): Frame => ({ type: "message", data, origin: "o", cursor: `e-${offset}` });

  test("is told in its order, gaps and members too", async () => {
    const { ear, tell } = await told();
    tell.frame(message(encode("first").bytes, 1));
    expect(ear.data).toEqual(["first"]);
    tell.frame(message(GOOD, 2));
    tell.frame({ type: "join", member });
    tell.frame(message(encode("small").bytes, 3));
    tell.frame({ type: "gap", cursor: "e-9" });
    tell.frame(message(GOOD, 10));
    tell.frame({ type: "leave", member });
    expect(ear.data).toEqual(["first"]);
    await ear.until(7);
    expect(ear.events.map(({ type, lastEventId }) => `${type} ${lastEventId}`)).toEqual([
      "message e-1",
      "message e-2",
      "join ",
      "message e-3",
      "gap e-9",
      "message e-10",
      "leave ",
    ]);
    tell.frame(message(encode("at once").bytes, 11));
    expect(ear.data.at(-1)).toBe("at once");
  });

  test("and cannot be inflated is a messageerror", async () => {
    const { ear, tell } = await told();
    const corrupt = GOOD.slice();
    corrupt[corrupt.length >> 1]! ^= 0xff;
    tell.frame(message(corrupt, 1));
    tell.frame(message(compressed(encode("no gzip").bytes), 2));
    tell.frame(message(compressed(gzipSync(new Uint8Array([0xc1]))), 3));
    tell.frame(message(GOOD, 4));
    await ear.until(4);
    expect(ear.events.map(({ type, origin }) => [type, origin])).toEqual([
      ["messageerror", "o"],
      ["messageerror", "o"],
      ["messageerror", "o"],
      ["message", "o"],
    ]);
  });

  test("is not told after close", async () => {
    const { channel, ear, tell } = await told();
    tell.frame(message(GOOD));
    channel.close();
    // Both go through the same steps, the second later.
    await inflate(GOOD, Infinity);
    await inflate(GOOD, Infinity);
    expect(ear.events).toEqual([]);
  });

  test("is not inflated beyond the limit", async () => {
    const bomb = compressed(gzipSync(encode(new Uint8Array(10_000_000)).bytes));
    await expect(inflate(bomb, 1_000_000)).rejects.toThrow("malformed value");
    expect(await inflate(bomb, 10_000_005)).toHaveLength(10_000_005);
  });
});

test("the value of a message is what it was before it was compressed", async () => {
  const encoded = encode({ text: "spam ".repeat(10_000) });
  const small = compress(encoded, 1);
  await small.ready;
  expect(small.bytes.length).toBeLessThan(500);
  expect(small.size).toBe(encoded.bytes.length);
  expect(await inflate(small.bytes, encoded.size)).toEqual(encoded.bytes);
  expect(inflate(encoded.bytes, 0)).toBe(encoded.bytes);
});
