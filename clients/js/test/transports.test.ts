/** Each transport against a real broker, from Node. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ConnectionOptions } from "../src/api.js";
import type { Connection } from "../src/connection.js";
import type { ChannelOptions } from "../src/api.js";
import { WidecastChannel } from "../src/channel.js";
import type { TransportName } from "../src/transports/index.js";
import { type Broker, startBroker } from "./broker.js";
import { Ear } from "./heard.js";
import { endAll, openChannel, openMachine, untilTheEnd } from "./machines.js";

let broker: Broker;
beforeAll(async () => void (broker = await startBroker({ settings: { WIDECAST_SHUTDOWN_RECONNECT_WINDOW_MS: "100" } })));
afterAll(() => broker.kill());
afterEach(endAll);

const machine = (options: ConnectionOptions = {}): Connection => openMachine(broker.url, { minDelay: 50, ...options });

/** A channel of a machine of its own: nothing of it is heard but through the broker. */
const channel = (name: string, options: ConnectionOptions = {}, more: ChannelOptions = {}): WidecastChannel =>
  openChannel(name, machine(options), more);

let names = 0;
const fresh = () => `test-${process.pid}-${++names}`;

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s", (name) => {
  const transports: TransportName[] = [name];

  test("messages go both ways, in order, and not back", async () => {
    const [one, other] = [channel(fresh(), { transports }), channel(`test-${process.pid}-${names}`, { transports })];
    await Promise.all([one.ready, other.ready]);
    expect(one.connection?.transport).toBe(name);
    const [ears, own] = [new Ear(other), new Ear(one)];
    for (let i = 0; i < 50; i++) one.postMessage({ i, at: new Date(i), bytes: new Uint8Array([i]) });
    const heard = await ears.until(50);
    expect(heard).toEqual(Array.from({ length: 50 }, (_, i) => ({ i, at: new Date(i), bytes: new Uint8Array([i]) })));
    expect(ears.events[49]!.lastEventId).toMatch(/^\w+-50$/);
    other.postMessage("back");
    expect(await own.until(1)).toEqual(["back"]);
  });

  test("a publication tells where it is, and has a name", async () => {
    const [one, other] = [channel(fresh(), { transports }), channel(`test-${process.pid}-${names}`, { transports })];
    await other.ready;
    const [named, plain] = [new Ear(other, "news"), new Ear(other)];
    expect(await one.publish(1, { event: "news" })).toMatchObject({ offset: 1 });
    expect(await one.publish(2, { event: "join" })).toMatchObject({ offset: 2 });
    expect([await named.until(1), await plain.until(1)]).toEqual([[1], [2]]);
    await expect(one.publish("x".repeat(2_000_000))).rejects.toMatchObject({ code: "message_too_large" });
  });

  test("history and presence", async () => {
    const one = channel(fresh(), { transports }, { presence: { name: "Ann" } });
    await one.ready;
    await one.publish(undefined);
    await one.publish(new Map([[1, -0]]), { event: "e" });
    const past = await channel(one.name, { transports }).history();
    expect(past.map(({ data, event, offset }) => [data, event, offset])).toEqual([
      [undefined, undefined, 1],
      [new Map([[1, -0]]), "e", 2],
    ]);
    const members = new Ear(one, "join", "leave");
    const other = channel(one.name, { transports }, { presence: true });
    expect(await members.until(1)).toMatchObject([{ data: null }]);
    await other.ready;
    expect((await other.presence()).map(({ data }) => data)).toEqual(expect.arrayContaining([{ name: "Ann" }, null]));
    const late = channel(one.name, { transports }, { history: 1 });
    expect(await new Ear(late, "e").until(1)).toEqual([new Map([[1, -0]])]);
  });
});

test("values survive the broker, whatever the transports", async () => {
  const value: Record<string, unknown> = {
    undefined,
    nan: [NaN, Infinity, -0],
    big: 10n ** 30n,
    re: /x/giu,
    map: new Map<unknown, unknown>([[{}, new Set([1])]]),
    boxed: [Object(1n), Object(true), Object("s")],
    error: new RangeError("r", { cause: 1 }),
    sparse: [, 1],
    lone: "\ud800",
    key: { "\udc00": 1 },
    view: new Float64Array([1.5]),
    blob: new Blob(["b"], { type: "t/t" }),
    $type: "Date",
    value: 1,
  };
  value["self"] = value;
  let deep: unknown = null;
  for (let i = 0; i < 1000; i++) deep = [new Map([[1, deep]])];
  value["deep"] = deep;
  const sender = channel(fresh());
  const receivers = (["websocket", "sse"] as const).map((name) => channel(sender.name, { transports: [name] }));
  await Promise.all(receivers.map(({ ready }) => ready));
  const ears = receivers.map((receiver) => new Ear(receiver));
  await sender.publish(value);
  for (const ear of ears) {
    const [copy] = (await ear.until(1)) as [typeof value];
    expect(copy["self"]).toBe(copy);
    expect(Object.is((copy["nan"] as number[])[2], -0)).toBe(true);
    expect(await (copy["blob"] as Blob).text()).toBe("b");
    const plain = (value: object) => ({ ...value, self: 0, blob: 0, deep: 0 });
    expect(plain(copy)).toEqual(plain(value));
  }
});

test("large blobs do not reorder messages", async () => {
  const [one, other] = [channel(fresh()), channel(`test-${process.pid}-${names}`)];
  await other.ready;
  const ears = new Ear(other);
  one.postMessage(1);
  one.postMessage(new Blob(["x".repeat(500_000)]));
  one.postMessage(3);
  const [first, blob, last] = (await ears.until(3)) as [number, Blob, number];
  expect([first, blob.size, last]).toEqual([1, 500_000, 3]);
});

test("everybody hears the broker's one order who asks for it", async () => {
  const name = fresh();
  const options = { broker: broker.url, order: "broker" } as const;
  const [one, two] = [new WidecastChannel(name, options), new WidecastChannel(name, options)];
  [one, two].forEach(untilTheEnd);
  const far = channel(name);
  await Promise.all([one.ready, two.ready, far.ready]);
  const ears = [one, two, far].map((each) => new Ear(each));
  for (let i = 0; i < 20; i++) [one, two, far][i % 3]!.postMessage(i);
  await Promise.all([ears[0]!.until(13), ears[1]!.until(13), ears[2]!.until(14)]);
  const order = (await far.history()).map(({ data }) => data as number);
  ears.forEach((ear, index) => expect(ear.data).toEqual(order.filter((i) => i % 3 !== index)));
});
