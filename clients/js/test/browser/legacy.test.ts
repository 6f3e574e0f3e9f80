/** The script for old browsers in a new one: its transports, to and from machines with the whole client. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { WidecastChannel } from "../../src/channel.js";
import type { TransportName } from "../../src/transports/index.js";
import { type Broker, startBroker } from "../broker.js";
import { type Manner, Proxy } from "../proxy.js";
import { openPage } from "./browser.js";
import { type EngineBrowser, startEngine } from "./engine.js";
import { heardUntil, type Machine, machineOf, posts, startMachine } from "./machine.js";
import { type Site, startSite } from "./site.js";

/** What the pages have besides what all machines have. */
interface OldPage {
  channel(): WidecastChannel;
  settings(): object;
  ping(channel: string, text: string): void;
}

declare const Widecast: { WidecastChannel: typeof WidecastChannel };

const SETTINGS = { WIDECAST_NAMESPACE_DEFAULT_IMAGE_PING: "true" };

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
  broker = await startBroker({ settings: SETTINGS });
  proxy = await Proxy.start(broker.url);
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  proxy.close();
  await broker.kill();
});

/** A machine with an old browser that has joined the channel. */
async function old(url: string, options: object = {}): Promise<Machine> {
  const machine = machineOf(await openPage(await browser.newContext(), `http://localhost:${site.port}/legacy.html`));
  await machine.start(url, { minDelay: 50, maxDelay: 200, ...options });
  await machine.join("news");
  return machine;
}

async function whole(): Promise<Machine> {
  const machine = await startMachine(browser, site, broker.url);
  await machine.join("news");
  return machine;
}

function loadSamples(): Promise<void> {
  return new Promise((resolve) => {
    const script = Object.assign(document.createElement("script"), {
      type: "module",
      src: "/samples.js",
      onload: () => resolve(),
    });
    document.head.append(script);
  });
}

describe.each<TransportName>(["stream", "poll", "jsonp"])("over %s", (transport) => {
  const transports = [transport];

  test("messages go both ways, in order, once, and not back", async () => {
    const [one, other, modern] = await Promise.all([old(broker.url, { transports }), old(broker.url, { transports }), whole()]);
    expect(await one.status()).toMatchObject({ state: "open", transport });
    await Promise.all([
      one.post("one", 50),
      other.post("other", 50, { padding: 1000 }),
      modern.post("modern", 50, { padding: 5000 }),
    ]);
    for (const [machine, others] of [
      [one, ["other", "modern"]],
      [other, ["one", "modern"]],
      [modern, ["one", "other"]],
    ] as const) {
      const heard = await machine.heard(100);
      expect(heard.length).toBe(100);
      for (const from of others) expect(heard.filter((message) => message.startsWith(from))).toEqual(posts(from, 50));
    }
  });

  test("values survive", async () => {
    const [one, modern] = await Promise.all([old(broker.url, { transports }), whole()]);
    for (const [sender, receiver, without] of [
      [one, modern, "graphs"],
      [modern, one, ""],
    ] as const) {
      for (const { page } of [sender, receiver]) await page.evaluate(loadSamples);
      await receiver.page.evaluate(() => self.samples.listen());
      await sender.page.evaluate((without) => self.samples.send(without), without);
      expect(await receiver.page.evaluate((without) => self.samples.failures(without), without)).toEqual([]);
    }
  });

  // A script carries few of these messages, and a busy machine loads few scripts a second.
  test("nothing is lost, doubled or out of order when connections are cut in the middle of messages", {
    timeout: 180_000,
  }, async () => {
    const [one, modern] = await Promise.all([old(proxy.url, { transports }), whole()]);
    proxy.cutAfter = Array.from({ length: 15 }, (_, i) => 5000 + ((i * 7919) % 30_000));
    await Promise.all([
      one.post("one", 100, { padding: 3000, every: 5 }),
      modern.post("modern", 100, { padding: 3000, every: 5 }),
    ]);
    expect(await modern.heard(100, 80_000)).toEqual(posts("one", 100));
    expect(await one.heard(100, 80_000)).toEqual(posts("modern", 100));
    expect(await one.status()).toMatchObject({ gaps: 0 });
  });

  test("a broker that starts anew is told from a gap, and hears what was posted meanwhile", async () => {
    const one = await old(broker.url, { transports });
    await one.post("one", 5);
    // So that there is something to resume from.
    await broker.publish("news", "before");
    await one.heard(1);
    await broker.kill();
    await one.until({ transport: undefined });
    await one.post("one", 20, { first: 5 });
    broker = await startBroker({ port: broker.port, settings: SETTINGS });
    const modern = await startMachine(browser, site, broker.url);
    await modern.join("news", { history: 100 });
    await one.until({ state: "open", gaps: 1, transport });
    const after = await heardUntil(modern, "one 24");
    // What the first broker had, but had not confirmed, comes again.
    expect(after.length).toBeGreaterThanOrEqual(20);
    expect(after).toEqual(posts("one", 25).slice(-after.length));
    await modern.post("modern", 5);
    expect((await one.heard(6)).slice(1)).toEqual(posts("modern", 5));
  });

  test("a page without anything newer than 2011 can do it, too", async () => {
    const modern = await startMachine(browser, site, broker.url);
    await modern.join("ancient");
    const page = await openPage(await browser.newContext(), `http://localhost:${site.port}/`);
    // In a frame: what drives this page needs what that one has not.
    await page.evaluate(
      (src) => {
        document.body.append(Object.assign(document.createElement("iframe"), { src }));
      },
      `/ancient.html?transports=${transport}&broker=${encodeURIComponent(broker.url)}`,
    );
    const text = (id: string): Promise<string | null | undefined> =>
      page.evaluate((id) => document.querySelector("iframe")?.contentDocument?.getElementById(id)?.textContent, id);
    expect((await modern.heard(20)).length, `${await text("errors")} ${await text("status")}`).toBe(20);
    const last = await modern.page.evaluate(
      async () => (await (self.machine as never as OldPage).channel().history()).at(-1)!.data,
    );
    expect(last).toEqual({ number: 19, at: new Date(19), nothing: undefined });
    await modern.page.evaluate(() =>
      ["a", 1, { text: "ü", bytes: new Uint8Array([0, 255]) }].forEach((value) =>
        (self.machine as never as OldPage).channel().postMessage(value),
      ),
    );
    await expect
      .poll(() => text("heard"), { timeout: 10_000 })
      .toBe('a\n1\n{"text":"ü","bytes":{"$type":"binary","value":"AP8="}}\n');
    expect(await text("errors")).toBe("");
  });
});

test.each<[string, Record<string, Manner>, string]>([
  ["a buffered stream", { stream: "buffer" }, "poll"],
  ["refused requests of another origin", { stream: "refuse", poll: "refuse" }, "jsonp"],
])("%s is noticed, and the next transport taken", async (_, manners, expected) => {
  Object.assign(proxy.manners, manners);
  const [one, modern] = await Promise.all([old(proxy.url), whole()]);
  expect(await one.status()).toMatchObject({ transport: expected });
  await one.post("one", 5);
  await modern.post("modern", 5);
  expect(await modern.heard(5)).toEqual(posts("one", 5));
  expect(await one.heard(5)).toEqual(posts("modern", 5));
});

test.each(["stream", "poll", "jsonp"])(
  "a broker that refuses over %s is not asked before the time that it names",
  async (first) => {
    proxy.manners[first] = "busy";
    const other = first === "poll" ? "jsonp" : "poll";
    const joined = old(proxy.url, { transports: [first, other] });
    await expect.poll(() => proxy.seen).toContain(first);
    delete proxy.manners[first];
    const one = await joined;
    const states = await one.states();
    const waiting = states.findIndex(({ state }) => state === "waiting");
    // Two clocks, each in whole milliseconds, may disagree about the last one.
    expect(states[waiting + 1]!.at - states[waiting]!.at).toBeGreaterThanOrEqual(990);
    expect(states[waiting]!.reason).toMatch(/answered 503|overloaded: later/);
    expect(await one.status()).toMatchObject({ transport: first });
    expect(proxy.seen).not.toContain(other);
  },
);

test("a page that has missed only its own posts is told no gap", async () => {
  await broker.kill();
  broker = await startBroker({ settings: { WIDECAST_NAMESPACE_DEFAULT_HISTORY_MESSAGES: "5" } });
  proxy.upstream = broker.url;
  const one = await old(proxy.url, { transports: ["stream"], queueMessages: 1 });
  await broker.publish("news", "before");
  await one.heard(1);
  // Each post is taken when the one before it was confirmed.
  await one.page.evaluate(async () => {
    const channel = (self.machine as never as OldPage).channel();
    for (let posted = 0; posted < 10; ) {
      try {
        channel.postMessage(posted);
        posted++;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  });
  proxy.cut();
  await broker.publish("news", "missed");
  expect(await one.heard(2)).toEqual(["before", "missed"]);
  expect(await one.status()).toMatchObject({ gaps: 0 });
});

test("a stream that became long is renewed without a loss", async () => {
  const [one, modern] = await Promise.all([old(broker.url, { transports: ["stream"] }), whole()]);
  await modern.post("modern", 60, { padding: 50_000, every: 20 });
  expect(await one.heard(60)).toEqual(posts("modern", 60));
  expect(await one.status()).toMatchObject({ gaps: 0, transport: "stream" });
  expect((await one.states()).map(({ reason }) => reason)).toContain("renewed");
});

test("a connection that falls silent is given up, and taken up again without loss", async () => {
  await broker.kill();
  broker = await startBroker({ settings: { WIDECAST_HEARTBEAT_INTERVAL_MS: "500" } });
  proxy.upstream = broker.url;
  const one = await old(proxy.url, { transports: ["stream"] });
  proxy.manners["stream"] = "silent";
  await broker.publish("news", "lost on the way");
  await one.until({ transport: undefined });
  delete proxy.manners["stream"];
  await broker.publish("news", "after");
  expect(await one.heard(2)).toEqual(["lost on the way", "after"]);
});

test("channels of a page hear each other without the broker, each a copy of its own", async () => {
  const one = await old(broker.url);
  await broker.kill();
  const heard = await one.page.evaluate(async () => {
    const { WidecastChannel } = Widecast;
    const names = ["news", "news", "other"];
    const channels = names.map((name) => new WidecastChannel(name, (self.machine as never as OldPage).settings()));
    const heard: unknown[][] = names.map(() => []);
    channels.forEach((channel, i) => (channel.onmessage = ({ data }: MessageEvent) => heard[i]!.push(data)));
    channels[0]!.postMessage({ at: new Date(1) });
    await new Promise((resolve) => setTimeout(resolve, 100));
    return heard;
  });
  expect(heard).toEqual([[], [{ at: new Date(1) }], []]);
  expect(await one.heard(1)).toEqual([{ at: new Date(1) }]);
});

test("what cannot be sent, or is too much, is refused at once", async () => {
  const one = await old(broker.url);
  await broker.kill();
  const errors = await one.page.evaluate(() => {
    const channel = new Widecast.WidecastChannel("refused", (self.machine as never as OldPage).settings());
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const thrown = (act: () => void): string => {
      try {
        act();
        return "";
      } catch (error) {
        return (error as Error).name;
      }
    };
    const values = [() => {}, Symbol(), cycle, document.body, "\ud800", { "\udc00": 1 }, 1].map((value) =>
      thrown(() => channel.postMessage(value)),
    );
    const full = Array.from({ length: 2000 }, () => thrown(() => channel.postMessage(1)));
    channel.close();
    return [...values, full.at(-1), thrown(() => channel.postMessage(1))];
  });
  expect(errors).toEqual([...Array<string>(6).fill("DataCloneError"), "", "QuotaExceededError", "InvalidStateError"]);
});

test("a page without an origin of its own does not go by scripts", async () => {
  const page = await openPage(await browser.newContext(), `http://localhost:${site.port}/`);
  const reason = await page.evaluate((url) => {
    const script = `new Widecast.WidecastChannel("a").onstatus = function (event) {
      if (event.detail.state !== "connecting") parent.postMessage(event.detail.state + " " + event.detail.reason, "*");
    };`;
    const frame = document.createElement("iframe");
    frame.sandbox.add("allow-scripts");
    frame.srcdoc = `<script src="${url}/client/widecast.legacy.js"></script><script>${script}</script>`;
    const told = new Promise<string>((resolve) => addEventListener("message", ({ data }) => resolve(data as string)));
    document.body.append(frame);
    return told;
  }, broker.url);
  expect(reason).toMatch(/^waiting no transport gets through: stream: .*; poll: .*;$/);
});

test("an image ping is heard as a text", async () => {
  const [one, modern] = await Promise.all([old(broker.url), whole()]);
  await one.page.evaluate(() => (self.machine as never as OldPage).ping("news", "clicked é&="));
  expect(await modern.heard(1)).toEqual(["clicked é&="]);
  expect(await one.heard(0)).toEqual([]);
});

declare global {
  interface Window {
    samples: { listen(): void; send(without: string): void; failures(without: string): Promise<string[]> };
  }
}
