/** What was posted in a browser before a channel object was there, that object does not hear, as the native one does not. */
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { type Delay, startDelay } from "../delay.js";
import { CHROMIUM, FLAGS, openPage } from "./browser.js";
import { type Site, startSite } from "./site.js";
import { pause, until } from "./tabs.js";

let broker: Broker;
let delay: Delay;
let site: Site;
let browser: Browser;
beforeAll(async () => {
  const launching = chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  [broker, site, browser] = await Promise.all([startBroker(), startSite(), launching]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  delay?.close();
  // The next test has a channel without a past.
  await broker.kill();
  broker = await startBroker({ port: broker.port });
});

interface Set {
  broker: string;
  options?: object;
  connection?: object;
}

const open = (context: BrowserContext, set: Set): Promise<Page> =>
  openPage(context, `http://localhost:${site.port}/echo.html?set=${encodeURIComponent(JSON.stringify(set))}`);

async function openReady(context: BrowserContext, set: Set): Promise<Page> {
  const page = await open(context, set);
  await page.evaluate(() => self.ready());
  return page;
}

/** What the broker has of the channel. */
async function past(): Promise<unknown[]> {
  const answer = await fetch(`${broker.url}/channels/news/messages`);
  return ((await answer.json()) as { messages: { data: unknown }[] }).messages.map(({ data }) => data);
}

/** Waits until the broker has so many messages, and a copy of them would have come back. */
async function published(count: number): Promise<void> {
  await until("all is published", async () => (await past()).length >= count);
  await pause(400);
}

/** What all channel objects of a page have heard, its frames' too. */
async function heard(page: Page): Promise<unknown[]> {
  await page.waitForFunction(() => typeof self.ready === "function");
  for (const frame of page.frames()) await frame.evaluate(() => self.ready());
  await pause(300);
  return (await Promise.all(page.frames().map((frame) => frame.evaluate(() => self.heardBy())))).flat();
}

const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7];

/** The round trip to the broker in milliseconds, how the pages are connected, and whether a second tab is opened before or after the one that posts. */
const WAYS: [number, object, ("before" | "after")?][] = [
  [0, {}],
  [0, {}, "before"],
  [0, {}, "after"],
  [120, {}],
  [120, {}, "before"],
  [120, {}, "after"],
  [120, { transports: ["sse"] }, "after"],
  [120, { share: false }, "after"],
];

describe.each(WAYS)("with a round trip of %i ms, %o, and a second tab: %s", (round, connection, second) => {
  test.each(["reload", "navigate", "open", "frame"])("post, then %s", async (then) => {
    delay = await startDelay(broker.url, round / 2);
    const set = { broker: delay.url, connection };
    const context = await browser.newContext();
    const others = second === "before" ? [await openReady(context, set)] : [];
    const page = await openReady(context, set);
    if (second === "after") others.push(await openReady(context, set));
    const opened =
      then === "open"
        ? context.waitForEvent("page")
        : then === "frame"
          ? page.waitForEvent("frameattached")
          : page.waitForEvent("load");
    await page.evaluate((then) => self.postAnd(8, then), then).catch(() => {});
    const made = await opened;
    const late = then === "open" ? (made as Page) : page;
    await late.waitForLoadState();
    await published(8);
    expect(await heard(late)).toEqual([]);
    for (const other of others) expect(await other.evaluate(() => self.heardBy())).toEqual(NUMBERS);
    await broker.publish("news", "end");
    await pause(round + 300);
    expect([...new Set(await heard(late))]).toEqual(["end"]);
  });
});

test.each([{}, { share: false }])(
  "what waited for the broker when a channel was opened is not for it: %o",
  async (connection) => {
    const set = { broker: broker.url, connection: { minDelay: 100, maxDelay: 200, ...connection } };
    const context = await browser.newContext();
    const page = await openReady(context, set);
    await broker.kill();
    await page.evaluate(() => self.postAnd(8));
    await page.evaluate(() => self.another({}));
    const late = await open(context, set);
    const worker = await page.evaluate(() => self.inWorker());
    expect(worker).toBe("open");
    broker = await startBroker({ port: broker.port });
    await published(8);
    expect(await heard(late)).toEqual([]);
    await broker.publish("news", "end");
    await until("the end is heard", async () => (await heard(late)).length > 0);
    expect(await heard(late)).toEqual(["end"]);
    expect(await page.evaluate(() => self.heardBy(1))).toEqual(["end"]);
    expect(await page.evaluate(() => self.inWorker())).toEqual(["end"]);
  },
);

test.each([{}, { history: 100 }])(
  "who opens a channel while others post hears each of them in order, once: %o",
  async (options) => {
    delay = await startDelay(broker.url, 60);
    const set = { broker: delay.url };
    const context = await browser.newContext();
    const [one, two] = [await openReady(context, set), await openReady(context, set)];
    await two.evaluate(() => self.number(1000));
    for (const page of [one, two]) await page.evaluate(() => self.postAnd(4));
    const posting = [one, two].map((page) => page.evaluate(() => self.postFor(1500, 4)));
    const late = await open(context, { ...set, options });
    const counts = await Promise.all(posting);
    await published(counts[0]! + counts[1]!);
    const all = (await heard(late)) as number[];
    expect(all.length).toBeGreaterThan(20);
    // Each posts numbers of its own.
    for (const page of [0, 1]) {
      const own = all.filter((number) => Math.floor(number / 1000) === page);
      const first = options.history ? 0 : own[0]! % 1000;
      expect(own.map((number) => number % 1000)).toEqual(Array.from({ length: counts[page]! - first }, (_, i) => first + i));
    }
  },
);

declare global {
  /** What echo.js offers. */
  interface Window {
    another(options: object): number;
    ready(index?: number): Promise<void>;
    heardBy(index?: number): unknown[];
    postAnd(count: number, then?: string): void;
    /** Posts for so many milliseconds; returns how many it has posted by then. */
    postFor(duration: number, first: number): Promise<number>;
    /** Where the numbers begin that it posts. */
    number(from: number): void;
    /** Opens a channel in a worker; later: what it has heard. */
    inWorker(): Promise<unknown>;
  }
}
