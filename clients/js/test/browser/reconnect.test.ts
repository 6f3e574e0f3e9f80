/** Bad networks and brokers that come and go, between Chromium and a real broker. Each machine is a browser profile. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { type Manner, Proxy } from "../proxy.js";
import { type EngineBrowser, startEngine } from "./engine.js";
import { heardUntil, type Machine, posts, startMachine, TRANSPORTS } from "./machine.js";
import { type Site, startSite } from "./site.js";

let site: Site;
let browser: EngineBrowser;
let broker: Broker;
let proxy: Proxy;
beforeAll(async () => {
  [site, browser] = await Promise.all([startSite(), startEngine()]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
});
beforeEach(async () => {
  broker = await startBroker();
  proxy = await Proxy.start(broker.url);
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  proxy.close();
  await broker.kill();
});

/** A machine that has joined the channel. */
async function joined(url: string, options: object = {}): Promise<Machine> {
  const machine = await startMachine(browser, site, url, { minDelay: 50, maxDelay: 200, ...options });
  await machine.join("news");
  return machine;
}

describe.each(TRANSPORTS)("over %s", (transport) => {
  const transports = [transport];

  // A script carries few of these messages, and a busy machine loads few scripts a second.
  test("nothing is lost, doubled or out of order when the proxy is cut in the middle of messages", {
    timeout: 180_000,
  }, async () => {
    const [reader, sender] = await Promise.all([joined(proxy.url, { transports }), joined(proxy.url, { transports })]);
    const steady = await joined(broker.url);
    // Most hit a message in its middle, on its way to the broker or from it.
    proxy.cutAfter = Array.from({ length: 20 }, (_, i) => 5000 + ((i * 7919) % 30_000));
    await Promise.all([
      sender.post("sender", 120, { padding: 3000, every: 5 }),
      steady.post("steady", 120, { padding: 3000, every: 5 }),
    ]);
    await sender.until({ queued: 0 }, 80_000);
    for (const [machine, others] of [
      [reader, ["sender", "steady"]],
      [steady, ["sender"]],
      [sender, ["steady"]],
    ] as const) {
      const heard = await machine.heard(120 * others.length, 80_000);
      for (const from of others) expect(heard.filter((message) => message.startsWith(from))).toEqual(posts(from, 120));
      expect(heard.length).toBe(120 * others.length);
      expect(await machine.status()).toMatchObject({ gaps: 0, transport: machine === steady ? "websocket" : transport });
    }
    expect(proxy.cutAfter).toEqual([]);
  });

  test("a broker that starts anew is told from a gap, and hears what was posted meanwhile", async () => {
    const [one, two] = await Promise.all([joined(broker.url, { transports }), joined(broker.url, { transports })]);
    await one.post("one", 10);
    expect(await two.heard(10)).toEqual(posts("one", 10));
    await broker.kill();
    await one.until({ transport: undefined });
    await one.post("one", 20, { first: 10 });
    broker = await startBroker({ port: broker.port });
    await one.until({ queued: 0 });
    await Promise.all([one, two].map((each) => each.until({ state: "open", gaps: 1 })));
    await one.post("one", 1, { first: 30 });
    // Whoever came back after the other had posted has missed that, and was told.
    const after = (await heardUntil(two, "one 30")).slice(10);
    expect(after).toEqual(posts("one", 31).slice(-after.length));
  });

  test("a broker's goodbye says when to come back", async () => {
    await broker.kill();
    broker = await startBroker({ settings: { WIDECAST_SHUTDOWN_RECONNECT_WINDOW_MS: "2000" } });
    proxy.upstream = broker.url;
    // Without the advice they would wait for hours.
    const patient = { transports, minDelay: 36_000_000, maxDelay: 36_000_000 };
    const machines = await Promise.all([joined(proxy.url, patient), joined(proxy.url, patient), joined(proxy.url, patient)]);
    const next = await startBroker();
    // A session belongs to its broker: a poll that comes to the other one is told that there is no such session.
    if (/poll|jsonp/.test(transport)) await expect.poll(() => proxy.waiting[transport]).toBe(machines.length);
    proxy.upstream = next.url;
    await broker.terminate();
    broker = next;
    for (const machine of machines) {
      await machine.until({ state: "open", gaps: 1, transport });
    }
    await machines[0]!.post("one", 5);
    expect(await machines[1]!.heard(5)).toEqual(posts("one", 5));
  });

  test("a connection that falls silent is given up, and taken up again without loss", async () => {
    await broker.kill();
    broker = await startBroker({ settings: { WIDECAST_HEARTBEAT_INTERVAL_MS: "500" } });
    proxy.upstream = broker.url;
    const one = await joined(proxy.url, { transports, replyTimeout: 1000 });
    const part = transport === "websocket" ? "ws" : transport;
    proxy.manners[part] = "silent";
    await broker.publish("news", "lost on the way");
    await one.until({ transport: undefined });
    delete proxy.manners[part];
    await broker.publish("news", "after");
    expect(await one.heard(2)).toEqual(["lost on the way", "after"]);
    expect(await one.status()).toMatchObject({ gaps: 0 });
  });
});

/** What all but the waiting may take, in milliseconds. Who notices nothing waits for minutes. */
const ON_A_BUSY_MACHINE = 15_000;

test.each<[string, Record<string, Manner>, string]>([
  ["a refused upgrade", { ws: "refuse" }, "sse"],
  ["an upgrade without an answer", { ws: "hang" }, "sse"],
  ["a buffered event stream", { ws: "refuse", sse: "buffer" }, "stream"],
  ["buffered streams", { ws: "refuse", sse: "buffer", stream: "buffer" }, "poll"],
  ["a network that loads nothing but scripts", { ws: "refuse", sse: "buffer", stream: "buffer", poll: "refuse" }, "jsonp"],
])("%s is noticed within seconds, and the next transport taken", async (_, manners, expected) => {
  Object.assign(proxy.manners, manners);
  const [one, other] = await Promise.all([joined(proxy.url), joined(broker.url)]);
  const states = await one.states();
  const [began, opened] = [states[0]!, states.at(-1)!];
  expect(opened).toMatchObject({ state: "open", transport: expected });
  // With the defaults: what does not bring its welcome in 4 s is given up, and at most two have to be.
  expect(opened.at - began.at).toBeLessThan(2 * 4000 + ON_A_BUSY_MACHINE);
  await Promise.all([one.post("one", 5), other.post("other", 5)]);
  expect(await one.heard(5)).toEqual(posts("other", 5));
  expect(await other.heard(5)).toEqual(posts("one", 5));
});

test("a stream that is held up after its welcome is given up for the next transport", async () => {
  // So long that a machine that is only busy does not look like a stream that is held up.
  const [one, other] = await Promise.all([joined(proxy.url, { replyTimeout: 4000 }), joined(broker.url)]);
  proxy.manners["ws"] = "silent";
  await one.post("one", 5);
  expect(await other.heard(5)).toEqual(posts("one", 5));
  expect(await one.status()).toMatchObject({ transport: "sse" });
});

test.each<[string, Record<string, Manner>, string]>([
  ["an event stream", { ws: "refuse" }, "sse"],
  ["polls", { ws: "refuse", sse: "buffer", stream: "buffer" }, "poll"],
  ["scripts", { ws: "refuse", sse: "buffer", stream: "buffer", poll: "refuse" }, "jsonp"],
])("from %s the way back to WebSockets loses nothing", async (_, manners, expected) => {
  Object.assign(proxy.manners, manners);
  const [one, other] = await Promise.all([joined(proxy.url, { upgradeDelay: 300, connectTimeout: 2000 }), joined(broker.url)]);
  expect(await one.status()).toMatchObject({ transport: expected });
  const posting = Promise.all([one.post("one", 150, { every: 10 }), other.post("other", 150, { every: 10 })]);
  for (const part of Object.keys(manners)) delete proxy.manners[part];
  await one.until({ transport: "websocket" });
  await posting;
  expect(await one.heard(150)).toEqual(posts("other", 150));
  expect(await other.heard(150)).toEqual(posts("one", 150));
});
