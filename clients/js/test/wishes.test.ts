/** Channels of one name in one page, each with a wish of its own, and more channels than a session may join. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ChannelOptions } from "../src/api.js";
import type { WidecastChannel } from "../src/channel.js";
import type { ConnectionOptions } from "../src/api.js";
import type { Connection } from "../src/connection.js";
import type { TransportName } from "../src/transports/index.js";
import { type Broker, startBroker } from "./broker.js";
import { Ear } from "./heard.js";
import { endAll, openChannel, openMachine } from "./machines.js";
import { Proxy } from "./proxy.js";

/** How many channels a session may join. */
const MOST = 4;

let broker: Broker;
beforeAll(
  async () =>
    void (broker = await startBroker({
      settings: { WIDECAST_LIMITS_CHANNELS_PER_SESSION: String(MOST), WIDECAST_PRESENCE_GRACE_MS: "100" },
    })),
);
afterAll(() => broker.kill());
afterEach(endAll);

let names = 0;
/** A channel with these messages, and the cursors behind each of them. */
async function past(...messages: unknown[]): Promise<{ name: string; cursors: string[] }> {
  const name = `wishes-${++names}`;
  const reader = open(name, openMachine(broker.url));
  await reader.channel.ready;
  for (const message of messages) await broker.publish(name, message);
  await reader.ear.until(messages.length);
  reader.channel.close();
  return { name, cursors: reader.ear.events.map(({ lastEventId }) => lastEventId) };
}

interface Opened {
  channel: WidecastChannel;
  ear: Ear;
  gaps: Ear;
  members: Ear;
}
function open(name: string, connection: Connection, options: ChannelOptions = {}): Opened {
  const channel = openChannel(name, connection, options);
  return { channel, ear: new Ear(channel), gaps: new Ear(channel, "gap"), members: new Ear(channel, "join", "leave") };
}

let ends = 0;
/** Publishes a last message, and returns all else that was heard before it. */
async function heard(name: string, ...all: Opened[]): Promise<unknown[][]> {
  const end = `end ${++ends}`;
  await broker.publish(name, end);
  const until = async ({ ear }: Opened): Promise<unknown[]> => {
    for (let count = 1; !(await ear.until(count)).includes(end); count++);
    expect(ear.data.filter((data) => data === end)).toEqual([end]);
    return ear.data.filter((data) => !/^end/.test(String(data)));
  };
  return Promise.all(all.map(until));
}

const machine = (name: TransportName, options: ConnectionOptions = {}): Connection =>
  openMachine(broker.url, { transports: [name], ...options });

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s each object hears what it wishes", (transport) => {
  test("when it comes later than others", async () => {
    const { name, cursors } = await past(1, 2, 3, 4);
    const connection = machine(transport);
    const plain = open(name, connection);
    await plain.channel.ready;
    const others = [
      open(name, connection, { history: 2 }),
      open(name, connection, { cursor: cursors[0]! }),
      open(name, connection),
    ];
    const lost = open(name, connection, { cursor: "zzz-1" });
    const ahead = open(name, connection, { cursor: cursors[0]!.replace(/\d+$/, "99") });
    for (const { channel } of [...others, lost, ahead]) await channel.ready;
    expect(await heard(name, plain, ...others, lost, ahead)).toEqual([[], [3, 4], [2, 3, 4], [], [], []]);
    for (const { gaps } of [lost, ahead]) expect(gaps.events.map(({ lastEventId }) => lastEventId)).toEqual([cursors[3]]);
    for (const { gaps } of [plain, ...others]) expect(gaps.events).toEqual([]);
  });

  test("when all come together, in any order", async () => {
    const { name, cursors } = await past(1, 2, 3, 4);
    const wishes: [ChannelOptions, number[]][] = [
      [{}, []],
      [{ history: 3 }, [2, 3, 4]],
      [{ cursor: cursors[0]! }, [2, 3, 4]],
      [{ history: 2 }, [3, 4]],
    ];
    const orders = [wishes, [...wishes].reverse()];
    const all = orders.map((order) => {
      const connection = machine(transport);
      return order.map(([options]) => open(name, connection, options));
    });
    await Promise.all(all.flat().map(({ channel }) => channel.ready));
    expect(await heard(name, ...all.flat())).toEqual(orders.flat().map(([, expected]) => expected));
  });

  test("over reconnects", async () => {
    const { name } = await past(1, 2, 3, 4);
    const proxy = await Proxy.start(broker.url);
    try {
      const connection = openMachine(proxy.url, { transports: [transport], minDelay: 20, maxDelay: 50 });
      const all = [open(name, connection), open(name, connection, { history: 3 })];
      for (const { channel } of all) await channel.ready;
      for (let round = 0; round < 3; round++) {
        proxy.cut();
        await broker.publish(name, `a ${round}`);
        all.push(open(name, connection, { history: 1 }));
        await all.at(-1)!.channel.ready;
        await broker.publish(name, `b ${round}`);
      }
      const live = [0, 1, 2].flatMap((round) => [`a ${round}`, `b ${round}`]);
      const [plain, past, ...later] = await heard(name, ...all);
      expect([plain, past]).toEqual([live, [2, 3, 4, ...live]]);
      later.forEach((data, round) => expect(data).toEqual(live.slice(2 * round)));
      for (const { gaps } of all) expect(gaps.events).toEqual([]);
    } finally {
      proxy.close();
    }
  });

  test("also its presence", async () => {
    const { name } = await past();
    const connection = machine(transport);
    const plain = open(name, connection);
    const ann = open(name, connection, { presence: "Ann" });
    await ann.channel.ready;
    const bob = open(name, connection, { presence: "Bob" });
    const again = open(name, connection, { presence: "Ann" });
    for (const { channel } of [plain, bob, again]) await channel.ready;
    const listed = async (): Promise<unknown[]> => (await plain.channel.presence()).map(({ data }) => data).sort();
    expect(await listed()).toEqual(["Ann", "Bob"]);
    await ann.members.until(1);
    expect(ann.members.events.map(({ type, data }) => [type, (data as { data: unknown }).data])).toEqual([["join", "Bob"]]);
    ann.channel.close();
    expect(await listed()).toEqual(["Ann", "Bob"]);
    expect(await heard(name, plain, bob, again)).toEqual([[], [], []]);
    again.channel.close();
    await bob.members.until(1);
    expect(bob.members.events.map(({ type, data }) => [type, (data as { data: unknown }).data])).toEqual([["leave", "Ann"]]);
    expect(plain.members.events).toEqual([]);
    expect(await heard(name, plain, bob)).toEqual([[], []]);
  });

  test("and there are more channels than a session may join", async () => {
    const connection = machine(transport);
    const base = `many-${++names}`;
    const all = Array.from({ length: 4 * MOST }, (_, i) => open(`${base}-${i}`, connection));
    for (const { channel } of all) await channel.ready;
    for (let i = 0; i < all.length; i++) expect(await heard(`${base}-${i}`, all[i]!)).toEqual([[]]);
    // Others close, more come.
    for (const { channel } of all.splice(2)) channel.close();
    for (let i = 2; i < 2 * MOST; i++) all.push(open(`${base}-${i}`, connection, { history: 1 }));
    for (const { channel } of all) await channel.ready;
    for (let i = 2; i < all.length; i++) expect((await heard(`${base}-${i}`, all[i]!))[0]).toEqual([]);
    expect(await heard(`${base}-0`, all[0]!)).toEqual([[]]);
  });
});

test("the empty lastEventId of a message that came directly from this browser asks for nothing", async () => {
  const { name } = await past(1, 2);
  const { channel, ear, gaps } = open(name, openMachine(broker.url), { cursor: "" });
  await channel.ready;
  expect((await channel.history({ since: "" })).map(({ data }) => data)).toEqual([1, 2]);
  expect([ear.events, gaps.events]).toEqual([[], []]);
});

test("channels of all sessions end and go on with the connection that they were opened on", async () => {
  const connection = openMachine(broker.url);
  const base = `ends-${++names}`;
  const all = Array.from({ length: 3 * MOST }, (_, i) => open(`${base}-${i}`, connection));
  for (const { channel } of all) await channel.ready;
  const statuses = all.map(({ channel }) => new Ear(channel, "status"));
  connection.close();
  for (const status of statuses) await status.until(1);
});

describe("what is posted beside an object that asks for the past", () => {
  test("is heard behind the past, in its order, once", async () => {
    const { name, cursors } = await past("x");
    const connection = openMachine(broker.url);
    const sender = openChannel(name, connection);
    for (let i = 0; i < 3; i++) await sender.publish(i);
    const all = [open(name, connection, { history: 2 }), open(name, connection, { cursor: cursors[0]! }), open(name, connection)];
    for (let i = 3; i < 6; i++) sender.postMessage(i);
    for (const { channel } of all) await channel.ready;
    const [newest, since, plain] = await heard(name, ...all);
    expect([newest, since, plain]).toEqual([
      [1, 2, 3, 4, 5],
      [0, 1, 2, 3, 4, 5],
      [3, 4, 5],
    ]);
    const counts = all.map(({ ear }) => ear.events.length + 1);
    sender.postMessage("last");
    for (const [index, { ear }] of all.entries()) expect((await ear.until(counts[index]!)).at(-1)).toBe("last");
  });

  test("is heard at once while the broker cannot be reached, and once it is back", async () => {
    const gone = await startBroker();
    await gone.kill();
    const connection = openMachine(gone.url, { minDelay: 200, maxDelay: 200 });
    const sender = openChannel("news", connection);
    const { ear, channel } = open("news", connection, { history: 9 });
    for (let i = 0; i < 3; i++) sender.postMessage(i);
    expect(await ear.until(3)).toEqual([0, 1, 2]);
    sender.postMessage(3);
    expect(await ear.until(4)).toEqual([0, 1, 2, 3]);
    const own = await startBroker({ port: gone.port });
    await channel.ready;
    await own.publish("news", "end");
    expect(await ear.until(5)).toEqual([0, 1, 2, 3, "end"]);
    await own.kill();
  });
});
