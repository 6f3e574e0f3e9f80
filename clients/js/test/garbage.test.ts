/** Which channel objects can be collected, and that nothing is lost by it: as the HTML standard has it for BroadcastChannel. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ChannelOptions } from "../src/api.js";
import { WidecastChannel } from "../src/channel.js";
import type { Connection } from "../src/connection.js";
import { type Broker, startBroker } from "./broker.js";
import { Ear } from "./heard.js";
import { endAll, openChannel, openMachine } from "./machines.js";

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ settings: { WIDECAST_PRESENCE_GRACE_MS: "100" } });
  setFlagsFromString("--expose-gc");
});
afterAll(() => broker.kill());
afterEach(endAll);

const gc = (): void => (runInNewContext("gc") as () => void)();

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));

/** Whether it is collected, within some rounds, of which a busy machine may need many. Who asks for it holds it until its own turn ends. */
async function isCollected(ref: WeakRef<object>, rounds = 400): Promise<boolean> {
  for (let round = 0; round < rounds; round++) {
    await pause();
    gc();
    await pause();
    if (!ref.deref()) return true;
  }
  return false;
}

/** For machines that are busy. */
const PATIENT = { timeout: 10_000 };

let names = 0;
const newName = (): string => `garbage-${++names}`;

/** Makes a channel object that nobody holds, and does something with it. */
function drop(
  name: string,
  connection: Connection | undefined,
  use: (channel: WidecastChannel) => unknown = () => {},
  options: ChannelOptions = {},
): WeakRef<WidecastChannel> {
  const channel = new WidecastChannel(name, connection ? { ...options, broker: connection as never } : options);
  use(channel);
  return new WeakRef(channel);
}

const nothing = (): void => {};

describe("is collected", () => {
  test.each<[string, (channel: WidecastChannel) => unknown, ChannelOptions?]>([
    ["an object that has done nothing", nothing],
    ["one that has posted", (channel) => channel.postMessage(1)],
    ["one that asks for the past", nothing, { history: 5 }],
    ["one of the broker's order", nothing, { order: "broker" }],
    ["one whose handler was taken away", (channel) => ((channel.onmessage = nothing), (channel.onmessage = null))],
    [
      "one whose listener was removed",
      (channel) => {
        channel.addEventListener("message", nothing, true);
        channel.removeEventListener("message", nothing, { capture: true });
      },
    ],
    [
      "one whose listener was for one event",
      (channel) => {
        channel.addEventListener("news", nothing, { once: true });
        channel.dispatchEvent(new Event("news"));
      },
    ],
    [
      "one whose listener was given up by a signal",
      (channel) => {
        const stop = new AbortController();
        channel.addEventListener("message", nothing, { signal: stop.signal });
        stop.abort();
      },
    ],
    ["one that was closed", (channel) => ((channel.onmessage = nothing), channel.close())],
  ])("%s", async (_, use, options) => {
    const ref = drop(newName(), openMachine(broker.url), use, options);
    expect(await isCollected(ref)).toBe(true);
  });

  test("one without a broker, and its end of the browser's own channel with it", async () => {
    const name = newName();
    const ref = drop(name, undefined, (channel) => channel.postMessage(1));
    expect(await isCollected(ref)).toBe(true);
  });

  test("one whose broker cannot be reached, although its post waits", async () => {
    const connection = openMachine("http://127.0.0.1:9");
    const ref = drop(newName(), connection, (channel) => channel.postMessage(1));
    expect(await isCollected(ref)).toBe(true);
    expect(connection.queued).toBe(1);
  });

  test("all but the listener of many, and the session leaves the channel when none is left", async () => {
    const name = newName();
    const connection = openMachine(broker.url, { idleTimeout: 50 });
    const listener = openChannel(name, openMachine(broker.url));
    const ear = new Ear(listener);
    await listener.ready;
    const refs = Array.from({ length: 50 }, (_, i) => drop(name, connection, (channel) => channel.postMessage(i)));
    for (const ref of refs) expect(await isCollected(ref)).toBe(true);
    expect(await ear.until(50)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    await expect.poll(() => connection.state, PATIENT).toBe("idle");
  });
});

describe("is kept", () => {
  test.each<[string, (channel: WidecastChannel, heard: (event: Event) => void) => void]>([
    ["a handler", (channel, heard) => (channel.onmessage = heard)],
    ["a listener", (channel, heard) => channel.addEventListener("message", heard)],
    ["a listener object", (channel, heard) => channel.addEventListener("message", { handleEvent: heard })],
    ["a listener for one event", (channel, heard) => channel.addEventListener("message", heard, { once: true })],
    [
      "a listener that was added twice, and another that was removed",
      (channel, heard) => {
        channel.addEventListener("message", heard);
        channel.addEventListener("message", heard);
        channel.addEventListener("message", nothing);
        channel.removeEventListener("message", nothing);
        channel.removeEventListener("message", heard, { capture: true });
      },
    ],
  ])("by %s", async (_, listen) => {
    const name = newName();
    const heard: unknown[] = [];
    const ref = drop(name, openMachine(broker.url), (channel) =>
      listen(channel, (event) => heard.push((event as MessageEvent).data)),
    );
    expect(await isCollected(ref, 20)).toBe(false);
    await ref.deref()!.ready;
    expect(await isCollected(ref, 20)).toBe(false);
    await broker.publish(name, "hello");
    await expect.poll(() => heard, PATIENT).toEqual(["hello"]);
  });

  test("by a listener for one event that adds itself again", async () => {
    const name = newName();
    const heard: unknown[] = [];
    const ref = drop(name, openMachine(broker.url), (channel) => {
      const listener = ({ data }: MessageEvent): void => {
        heard.push(data);
        ref.deref()!.addEventListener("message", listener, { once: true });
      };
      channel.addEventListener("message", listener, { once: true });
    });
    await ref.deref()!.ready;
    for (const message of [1, 2, 3]) {
      await broker.publish(name, message);
      await expect.poll(() => heard.at(-1), PATIENT).toBe(message);
      expect(await isCollected(ref, 5)).toBe(false);
    }
  });

  test("by its entry in the list of members, until it is closed", async () => {
    const name = newName();
    const ref = drop(name, openMachine(broker.url), nothing, { presence: "me" });
    const other = openChannel(name, openMachine(broker.url));
    const members = async (): Promise<unknown[]> => (await other.presence()).map(({ data }) => data);
    await expect.poll(members, PATIENT).toEqual(["me"]);
    expect(await isCollected(ref, 20)).toBe(false);
    expect(await members()).toEqual(["me"]);
    ref.deref()!.close();
    await expect.poll(members, PATIENT).toEqual([]);
    expect(await isCollected(ref)).toBe(true);
  });

  test("by who waits for it", async () => {
    const name = newName();
    const ready = ((): Promise<void> => new WidecastChannel(name, { broker: openMachine(broker.url) as never }).ready)();
    gc();
    await ready;
    const past = ((): Promise<unknown[]> => new WidecastChannel(name, { broker: openMachine(broker.url) as never }).history())();
    gc();
    expect(await past).toEqual([]);
    const receipt = ((): Promise<unknown> =>
      new WidecastChannel(name, { broker: openMachine(broker.url) as never }).upload("u"))();
    gc();
    expect(await receipt).toMatchObject({ offset: 1 });
  });
});

test("what an object has posted arrives after it is collected, when the broker can be reached", async () => {
  const name = newName();
  const port = broker.port;
  await broker.kill();
  const connection = openMachine(broker.url, { minDelay: 50, maxDelay: 50 });
  const ref = drop(name, connection, (channel) => {
    for (const message of [1, 2, 3]) channel.postMessage(message);
  });
  expect(await isCollected(ref)).toBe(true);
  expect(connection.queued).toBe(3);
  broker = await startBroker({ port });
  await expect.poll(() => connection.queued, PATIENT).toBe(0);
  const reader = openChannel(name, openMachine(broker.url));
  expect((await reader.history()).map(({ data }) => data)).toEqual([1, 2, 3]);
});

test("an object that begins to listen hears what was posted in the same turn, as the native one does", async () => {
  const name = newName();
  const connection = openMachine(broker.url);
  const [from, to] = [openChannel(name, connection), openChannel(name, connection)];
  from.postMessage("before");
  const ear = new Ear(to);
  expect(await ear.until(1)).toEqual(["before"]);
});
