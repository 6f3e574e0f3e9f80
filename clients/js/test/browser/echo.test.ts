/** What was posted in a browser before a channel object was there, that object does not hear, as the native one does not. */
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { type Delay, startDelay } from "../delay.js";
import { CHROMIUM, FLAGS, openPage } from "./browser.js";
import { type Site, startSite } from "./site.js";
import { pause, until } from "./tabs.js";

/** Enough for all that a test posts, on the slowest machine. */
const SETTINGS = { WIDECAST_LIMITS_MESSAGES_PER_HISTORY: "10000" };

let broker: Broker;
let delay: Delay;
let site: Site;
let browser: Browser;
beforeAll(async () => {
  const launching = chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  [broker, site, browser] = await Promise.all([startBroker({ settings: SETTINGS }), startSite(), launching]);
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
  broker = await startBroker({ port: broker.port, settings: SETTINGS });
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

/** What the channel object of a page has heard, and those of its frames, when they hear everything. */
async function heard(page: Page): Promise<unknown[][]> {
  for (const frame of page.frames()) {
    await frame.waitForFunction(() => typeof self.ready === "function");
    await frame.evaluate(() => self.ready());
  }
  await pause(300);
  return Promise.all(page.frames().map((frame) => frame.evaluate(() => self.heardBy())));
}

/** Publishes a last message, which is all that a page and its frames hear. */
async function hearsTheEndOnly(page: Page): Promise<void> {
  await broker.publish("news", "end");
  await until("the end is heard", async () => (await heard(page)).every(({ length }) => length > 0));
  for (const each of await heard(page)) expect(each).toEqual(["end"]);
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
    expect((await heard(late)).flat()).toEqual([]);
    for (const other of others) await expect.poll(() => other.evaluate(() => self.heardBy())).toEqual(NUMBERS);
    await hearsTheEndOnly(late);
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
    broker = await startBroker({ port: broker.port, settings: SETTINGS });
    await published(8);
    expect((await heard(late)).flat()).toEqual([]);
    await page.evaluate(() => self.ready(1));
    expect(await page.evaluate(() => self.inWorker())).toEqual([]);
    await hearsTheEndOnly(late);
    await expect.poll(() => page.evaluate(() => self.heardBy(1))).toEqual(["end"]);
    await expect.poll(() => page.evaluate(() => self.inWorker())).toEqual(["end"]);
  },
);

test.each([{}, { history: 10_000 }])(
  "who opens a channel while others post hears each of them in order, once: %o",
  async (options) => {
    delay = await startDelay(broker.url, 60);
    const set = { broker: delay.url };
    const context = await browser.newContext();
    const [one, two] = [await openReady(context, set), await openReady(context, set)];
    await two.evaluate(() => self.number(100_000));
    for (const page of [one, two]) await page.evaluate(() => self.postAnd(4));
    const posting = [one, two].map((page) => page.evaluate(() => self.postUntil(4)));
    const late = await open(context, { ...set, options });
    const before = await late.evaluate(async () => (await self.ready(), self.heardBy().length));
    await expect.poll(() => late.evaluate(() => self.heardBy().length)).toBeGreaterThan(before + 20);
    for (const page of [one, two]) await page.evaluate(() => self.stop());
    const counts = await Promise.all(posting);
    await published(counts[0]! + counts[1]!);
    // The last of each may still be on its way.
    const last = counts.map((count, page) => 100_000 * page + count - 1);
    await expect.poll(() => late.evaluate(() => self.heardBy())).toEqual(expect.arrayContaining(last));
    const all = (await heard(late)).flat() as number[];
    // Each posts numbers of its own.
    for (const page of [0, 1]) {
      const own = all.filter((number) => Math.floor(number / 100_000) === page);
      const first = options.history ? 0 : own[0]! % 100_000;
      expect(own.map((number) => number % 100_000)).toEqual(Array.from({ length: counts[page]! - first }, (_, i) => first + i));
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
    /** Posts until it is stopped; returns how many it has posted by then. */
    postUntil(first: number): Promise<number>;
    stop(): void;
    /** Where the numbers begin that it posts. */
    number(from: number): void;
    /** Opens a channel in a worker; later: what it has heard. */
    inWorker(): Promise<unknown>;
  }
}
