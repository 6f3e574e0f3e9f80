/** The tabs of a browser share one connection. */
import { afterEach, expect, test } from "vitest";
import { startBroker } from "../broker.js";
import { startDelay } from "../delay.js";
import { Proxy } from "../proxy.js";
import { openPage } from "./browser.js";
import type { EnginePage } from "./engine.js";
import { broker, browser, setStage, site } from "./stage.js";
import { events, figure, heard, join, openTabs, publish, sessions, SETTINGS, storm, until } from "./tabs.js";

// Runs after what the stage does, which comes later: the last hook is the first to run.
afterEach(() => sessions(broker, 0));
setStage({ settings: SETTINGS });

/** The tabs of a browser. */
const tabs = async (count: number, options: object = {}): Promise<EnginePage[]> =>
  openTabs(await browser.newContext(), { site, broker }, count, options);
const another = async (one: EnginePage, options: object = {}): Promise<EnginePage> =>
  (await openTabs(one.context(), { site, broker }, 1, options))[0]!;

test("tabs of one browser have one session, two browsers have two", async () => {
  const [one, two] = await tabs(3);
  await sessions(broker, 1);
  expect(await two!.evaluate(() => self.line())).toEqual(["open", "websocket"]);
  const [far] = await tabs(2);
  await sessions(broker, 2);
  for (const page of [one!, two!, far!]) await join(page, "news");
  for (const page of [one!, two!, far!]) await publish(page, "news", "x");
  for (const page of [one!, two!, far!]) expect(await heard(page, "news", 2)).toEqual(["x", "x"]);
});

test("a tab that does not share has a session of its own", async () => {
  const [one] = await tabs(2, { share: false });
  await sessions(broker, 2);
  await another(one!);
  await another(one!, { scope: "ann" });
  await another(one!, { scope: "bob" });
  await another(one!, { transports: ["stream"] });
  await sessions(broker, 6);
});

test("a tab that cannot reach the broker leaves the connection to one that can, and hears through it", async () => {
  const context = await browser.newContext();
  const headers = JSON.stringify({ "content-security-policy": "default-src 'self'" });
  const confined = async (): Promise<EnginePage> => {
    const page = await openPage(context, `http://localhost:${site.port}/tab.html?headers=${encodeURIComponent(headers)}`);
    await page.evaluate((url) => self.start(url, {}), broker.url);
    return page;
  };
  // The first is the leader, the second the next.
  const [one, two] = [await confined(), await confined()];
  const joining = Promise.all([join(one, "news"), join(two, "news")]);
  await until("the leader has failed", async () => (await one.evaluate(() => self.line()))[0] === "waiting");
  const free = await another(one);
  await join(free, "news");
  await joining;
  await sessions(broker, 1);
  const [far] = await tabs(1);
  await join(far!, "news");
  for (const page of [one, two, free, far!]) await publish(page, "news", "x");
  for (const page of [one, two, free, far!]) expect(await heard(page, "news", 3)).toEqual(["x", "x", "x"]);
});

test("tabs that were opened while the broker was down share one session when it is there", async () => {
  const gone = await startBroker();
  await gone.kill();
  const context = await browser.newContext();
  const options = { minDelay: 100, maxDelay: 400 };
  const all = await Promise.all([1, 2, 3].map(() => openPage(context, `http://localhost:${site.port}/tab.html`)));
  for (const page of all) await page.evaluate(([url, options]) => self.start(url, options), [gone.url, options] as const);
  const joining = Promise.all(all.map((page) => join(page, "news")));
  for (const page of all) await until("it waits", async () => (await page.evaluate(() => self.line()))[0] === "waiting");
  const own = await startBroker({ port: gone.port, settings: SETTINGS });
  await joining;
  await sessions(own, 1);
  for (const page of all) await publish(page, "news", "x");
  for (const page of all) expect(await heard(page, "news", 2)).toEqual(["x", "x"]);
  await own.kill();
});

test("workers share it, too", async () => {
  const [one] = await tabs(1);
  await join(one!, "news");
  const inWorker = await one!.evaluate(async (url) => {
    const worker = new Worker("/tab_worker.js");
    const ask = (...call: unknown[]) =>
      new Promise((resolve) => ((worker.onmessage = ({ data }) => resolve(data)), worker.postMessage(call)));
    await ask("start", url);
    await ask("join", "news", { order: "broker" });
    await self.publish("news", "from the page");
    await ask("publish", "news", "from the worker");
    // A receipt may come before a message that was published earlier.
    const deadline = performance.now() + 10_000;
    for (;;) {
      const heard = (await ask("messages", "news")) as string[];
      if (heard.length || performance.now() > deadline) return heard;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }, broker.url);
  expect(inWorker).toEqual(["from the page"]);
  expect(await heard(one!, "news", 1)).toEqual(["from the worker"]);
  await sessions(broker, 1);
});

test("a tab resumes from a cursor, hears history, and is told of a gap, over the shared session", async () => {
  const [one, two] = (await tabs(2)) as [EnginePage, EnginePage];
  for (const name of ["news", "short:news"]) {
    await join(one, name);
    for (let i = 0; i < 6; i++) await broker.publish(name, i);
    await heard(one, name, 6);
  }
  const cursors = await one.evaluate(() => [self.cursors("news")[1]!, self.cursors("short:news")[1]!]);
  await join(two, "news");
  await join(two, "news", { cursor: cursors[0] }, "since");
  await join(two, "short:news", { cursor: cursors[1] });
  const three = await another(one);
  await join(three, "news", { cursor: cursors[0] });
  const four = await another(one);
  await join(four, "news", { history: 3 });
  for (const name of ["news", "short:news"]) await broker.publish(name, "end");
  expect(await heard(one, "news", 7)).toEqual([0, 1, 2, 3, 4, 5, "end"]);
  expect(await heard(one, "short:news", 7)).toEqual([0, 1, 2, 3, 4, 5, "end"]);
  expect(await heard(two, "news", 1)).toEqual(["end"]);
  expect(await heard(three, "news", 5)).toEqual([2, 3, 4, 5, "end"]);
  expect(await heard(four, "news", 4)).toEqual([3, 4, 5, "end"]);
  expect(await heard(two, "short:news", 1)).toEqual(["end"]);
  expect(await events(two, "short:news")).toEqual([["gap", undefined]]);
  expect(await events(one, "short:news")).toEqual([]);
  await sessions(broker, 1);
});

test("each object hears what it wishes, whatever others of its tab, of other tabs and workers do", async () => {
  const [one, two] = (await tabs(2)) as [EnginePage, EnginePage];
  await join(one, "news");
  for (let i = 0; i < 4; i++) await broker.publish("news", i);
  await heard(one, "news", 4);
  const cursor = await one.evaluate(() => self.cursors("news")[0]!);
  const pages = [one, two, await another(one)];
  for (const [index, page] of pages.entries()) {
    if (index) await join(page, "news");
    const joins = [
      join(page, "news", { history: 2 }, "past"),
      join(page, "news", {}, "plain"),
      join(page, "news", { cursor }, "resumed"),
    ];
    await Promise.all([...joins, join(page, "news", { cursor: "zzz-1" }, "lost")]);
  }
  await broker.publish("news", "end");
  expect(await heard(one, "news", 5)).toEqual([0, 1, 2, 3, "end"]);
  for (const [index, page] of pages.entries()) {
    if (index) expect(await heard(page, "news", 1)).toEqual(["end"]);
    expect(await heard(page, "past", 3)).toEqual([2, 3, "end"]);
    expect(await heard(page, "resumed", 4)).toEqual([1, 2, 3, "end"]);
    for (const key of ["plain", "lost"]) expect(await heard(page, key, 1)).toEqual(["end"]);
    expect(await events(page, "lost")).toEqual([["gap", undefined]]);
    for (const key of ["news", "past", "plain", "resumed"]) expect(await events(page, key)).toEqual([]);
  }
  await sessions(broker, 1);
});

test("tabs share more channels than a session may join", async () => {
  const all = await tabs(3);
  const joinAll = (page: EnginePage): Promise<void> =>
    page.evaluate(
      async () => void (await Promise.all(Array.from({ length: 300 }, (_, i) => self.join(`many ${i}`, {}, `many ${i}`)))),
    );
  await Promise.all(all.map(joinAll));
  await sessions(broker, 2);
  const names = [0, 100, 200, 299].map((i) => `many ${i}`);
  for (const name of names) await broker.publish(name, "first");
  for (const page of all) for (const name of names) expect(await heard(page, name, 1)).toEqual(["first"]);
  // Whoever has taken the lead of which session, the others go on.
  await all[0]!.goto(`http://127.0.0.1:${site.port}/`);
  for (const name of names) await broker.publish(name, "second");
  for (const page of all.slice(1)) for (const name of names) expect(await heard(page, name, 2)).toEqual(["first", "second"]);
  await sessions(broker, 2);
});

test("each tab is present by itself", async () => {
  const [one, two] = (await tabs(2)) as [EnginePage, EnginePage];
  await join(one, "room", { presence: "Ann" });
  await join(two, "room", { presence: "Bob" });
  expect((await one.evaluate(() => self.members("room"))).sort()).toEqual(["Ann", "Bob"]);
  await until("Ann has seen Bob", async () => (await events(one, "room")).length > 0);
  expect(await events(one, "room")).toEqual([["join", "Bob"]]);
  await publish(one, "room", "hello");
  expect(await heard(two, "room", 1)).toEqual(["hello"]);
});

test("a tab that closes its last channel keeps the others' subscriptions", async () => {
  const [one, two] = (await tabs(2)) as [EnginePage, EnginePage];
  await Promise.all([join(one, "news"), join(two, "news"), join(two, "other")]);
  await until("both are joined", async () => (await figure(broker, "widecast_subscriptions")) === 2);
  await one.evaluate(() => self.leave("news"));
  await two.evaluate(() => self.leave("other"));
  await until("the other channel is left", async () => (await figure(broker, "widecast_subscriptions")) === 1);
  await broker.publish("news", "still heard");
  expect(await heard(two, "news", 1)).toEqual(["still heard"]);
});

test.each(["local", "broker"] as const)("what tabs post all of them hear once, in %s order", async (order) => {
  await storm(broker, await tabs(4), { rate: 30, duration: 3000, order });
});

test("what an object posts in the broker's order is heard by those in other tabs, whoever comes while it is under way", async () => {
  const far = await startDelay(broker.url, 200);
  try {
    const place = { site, broker: { ...broker, url: far.url } };
    const [sender, reader, other] = (await openTabs(await browser.newContext(), place, 3)) as [
      EnginePage,
      EnginePage,
      EnginePage,
    ];
    await join(sender, "another name");
    await Promise.all([join(sender, "news", { order: "broker" }), join(reader, "news")]);
    for (let i = 0; i < 4; i++) {
      await sender.evaluate((i) => self.say("news", i), i);
      await other.evaluate((i) => self.hear("news", {}, `news ${i}`), i);
    }
    expect(await heard(reader, "news", 4)).toEqual([0, 1, 2, 3]);
    expect(await events(reader, "news")).toEqual([]);
  } finally {
    far.close();
  }
});

test("more tabs than a browser has connections for a server hear each other over event streams", async () => {
  await storm(broker, await tabs(8, { transports: ["sse"] }), { rate: 10, duration: 3000, order: "broker" });
});

test("nothing is lost or doubled when their connection is cut", async () => {
  const proxy = await Proxy.start(broker.url);
  try {
    const place = { site, broker: { ...broker, url: proxy.url } };
    const all = await openTabs(await browser.newContext(), place, 3, { minDelay: 50, maxDelay: 200 });
    const event = async (): Promise<void> => proxy.cut();
    await storm(broker, all, { rate: 30, duration: 3000, order: "broker", event });
  } finally {
    proxy.close();
  }
});

test("a tab that needs the connection no longer leaves it to the others", async () => {
  const context = await browser.newContext();
  const idle = await openPage(context, `http://localhost:${site.port}/tab.html`);
  await idle.evaluate((broker) => self.begin(broker), broker.url);
  const [other] = (await openTabs(context, { site, broker })) as [EnginePage];
  await join(other, "news");
  const opened = await figure(broker, "widecast_sessions_opened_total");
  await idle.evaluate(() => self.leave("brief"));
  await until("the other connects", async () => (await figure(broker, "widecast_sessions_opened_total")) > opened);
  await sessions(broker, 1);
  await broker.publish("news", "heard");
  expect(await heard(other, "news", 1)).toEqual(["heard"]);
  const names = (): Promise<string[]> =>
    idle.evaluate(async () => (await navigator.locks.query()).held!.map(({ name }) => name!));
  await expect.poll(async () => (await names()).filter((name) => name.startsWith("widecast "))).toHaveLength(1);
});
