/**
 * What befalls the page that a connection lives in: networks that come and go, freezing, hiding, the back/forward cache.
 * Driven by Puppeteer, since under Playwright all pages are visible, and only hidden ones are frozen.
 */
import puppeteer, { type Browser, type BrowserContext, type Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { CHROMIUM, FLAGS } from "./browser.js";
import type { EnginePage } from "./engine.js";
import { type Machine, machineOf, posts, TRANSPORTS } from "./machine.js";
import { type Site, startSite } from "./site.js";

/**
 * Without news of the network or the page it would be hours before a connection is tried again: so the one attempt gets the time
 * that a busy machine takes.
 */
const PATIENT = { minDelay: 36_000_000, maxDelay: 36_000_000, connectTimeout: 15_000, replyTimeout: 15_000 };
/** How soon it is noticed that the network is away. */
const NOTICES = { replyTimeout: 3000 };

let broker: Broker;
let site: Site;
let browser: Browser;
const contexts: BrowserContext[] = [];
beforeAll(async () => {
  const launching = puppeteer.launch({
    executablePath: CHROMIUM,
    args: FLAGS,
    // What Chromium does for its users, and drivers turn off.
    ignoreDefaultArgs: [
      "--disable-back-forward-cache",
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
    ],
  });
  [site, browser] = await Promise.all([startSite(), launching]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
});
beforeEach(async () => void (broker = await startBroker()));
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
  await broker.kill();
});

async function profile(): Promise<BrowserContext> {
  const context = await browser.createBrowserContext();
  contexts.push(context);
  return context;
}

/** A tab, in front of the others, that has joined the channel. */
async function open(options: object = {}, context?: BrowserContext): Promise<{ machine: Machine; tab: Page }> {
  const tab = await (context ?? (await profile())).newPage();
  tab.on("pageerror", (error) => console.error(error));
  await tab.goto(`http://localhost:${site.port}/machine.html`);
  const machine = machineOf(tab as unknown as EnginePage);
  await machine.start(broker.url, options);
  await machine.join("news");
  return { machine, tab };
}

/** Goes to another page; the one that was there is kept in the cache, or it is said why not. */
async function leave(tab: Page): Promise<void> {
  const session = await tab.createCDPSession();
  await session.send("Page.enable");
  session.on("Page.backForwardCacheNotUsed", (event) => console.error(JSON.stringify(event.notRestoredExplanations)));
  await tab.goto(`http://localhost:${site.port}/`);
}

/** Hides a tab behind a new one and freezes it. */
async function freeze(tab: Page): Promise<() => Promise<void>> {
  const front = await tab.browserContext().newPage();
  await front.bringToFront();
  const session = await tab.createCDPSession();
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  return async () => {
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await tab.bringToFront();
    await front.close();
  };
}

const WAYS = [...TRANSPORTS.map((transport) => ({ transport, bridge: false })), { transport: "websocket", bridge: true }];

describe.each(WAYS)("over $transport, through the bridge: $bridge", ({ transport, bridge }) => {
  const way = { transports: [transport], bridge };

  test("a page comes back from the back/forward cache without loss", async () => {
    const [{ machine: far }, { machine, tab }] = await Promise.all([open(), open(way)]);
    for (let round = 0; round < 2; round++) {
      const first = round * 15;
      await far.post("far", 5, { first });
      await machine.heard(first + 5);
      await leave(tab);
      await far.post("far", 5, { first: first + 5 });
      await tab.goBack();
      await far.post("far", 5, { first: first + 10 });
      // What it heard before shows that it is the page that was there, not a new one.
      expect(await machine.heard(first + 15)).toEqual(posts("far", first + 15));
      await machine.post("one", 5, { first: round * 5 });
      expect(await far.heard((round + 1) * 5)).toEqual(posts("one", (round + 1) * 5));
    }
    expect(await machine.status()).toMatchObject({ state: "open", transport, gaps: 0 });
  });

  test("a page that was frozen resumes without loss", async () => {
    const [{ machine: far }, { machine, tab }] = await Promise.all([open(), open({ ...way, ...PATIENT })]);
    const thaw = await freeze(tab);
    expect(await machine.status()).toMatchObject({ state: "idle" });
    await far.post("far", 10);
    await thaw();
    expect(await machine.heard(10)).toEqual(posts("far", 10));
    expect(await machine.status()).toMatchObject({ state: "open", transport, gaps: 0 });
  });

  test("when the network is back the connection is, at once", async () => {
    const [{ machine: far }, { machine, tab }] = await Promise.all([open(), open({ ...way, ...PATIENT, ...NOTICES })]);
    await tab.setOfflineMode(true);
    await far.post("far", 5);
    await machine.post("one", 5);
    await machine.until({ state: "waiting" });
    await tab.setOfflineMode(false);
    expect(await machine.heard(5)).toEqual(posts("far", 5));
    expect(await far.heard(5)).toEqual(posts("one", 5));
    expect(await machine.status()).toMatchObject({ state: "open", transport, gaps: 0 });
  });
});

test("a page that is shown again connects at once", async () => {
  const { machine, tab } = await open(PATIENT);
  await broker.kill();
  await machine.until({ state: "waiting" });
  const front = await tab.browserContext().newPage();
  await front.bringToFront();
  broker = await startBroker({ port: broker.port });
  expect(await machine.status()).toMatchObject({ state: "waiting" });
  await tab.bringToFront();
  await machine.until({ state: "open" });
});

test("what a page posts as it goes is heard at once in its browser, and elsewhere when it is back", async () => {
  const context = await profile();
  const { machine, tab } = await open({}, context);
  const { machine: near } = await open({}, context);
  const { machine: far } = await open();
  await tab.evaluate(() => addEventListener("pagehide", () => void self.machine.post("goodbye", 1)));
  await leave(tab);
  expect(await near.heard(1)).toEqual(posts("goodbye", 1));
  await tab.goBack();
  expect(await far.heard(1)).toEqual(posts("goodbye", 1));
  // The page was kept, and nobody hears it twice.
  await far.post("far", 1);
  expect(await machine.heard(1)).toEqual(posts("far", 1));
  expect(await near.heard(2)).toEqual([...posts("goodbye", 1), ...posts("far", 1)]);
});

test.each<[string, (tab: Page) => Promise<() => Promise<unknown>>]>([
  ["is in the back/forward cache", async (tab) => (await leave(tab), () => tab.goBack())],
  ["is frozen", freeze],
])("when the tab that has the connection %s, the others go on", async (_, away) => {
  const context = await profile();
  const { machine: leader, tab } = await open({}, context);
  const { machine: follower } = await open({}, context);
  const { machine: far } = await open();
  // Fewer than the history holds.
  const posting = [follower.post("follower", 100, { every: 20 }), far.post("far", 100, { every: 20 })];
  await leader.heard(50);
  const back = await away(tab);
  await Promise.all(posting);
  expect(await follower.heard(100)).toEqual(posts("far", 100));
  expect(await far.heard(100)).toEqual(posts("follower", 100));
  await back();
  const all = await leader.heard(200);
  for (const from of ["far", "follower"]) expect(all.filter((message) => message.startsWith(from))).toEqual(posts(from, 100));
  expect(all.length).toBe(200);
  await leader.post("leader", 5);
  for (const other of [follower, far]) expect((await other.heard(105)).slice(100)).toEqual(posts("leader", 5));
  for (const machine of [leader, follower, far]) expect(await machine.status()).toMatchObject({ state: "open", gaps: 0 });
});
