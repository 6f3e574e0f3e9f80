/** The tabs of a browser share one connection, whatever becomes of the tab that has it. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { openPage, startBrowser } from "./browser.js";
import { type Site, startSite } from "./site.js";

let broker: Broker;
let site: Site;
let browser: Browser;
beforeAll(async () => {
  // A history long enough for the slowest machine to come back in time.
  const settings = {
    WIDECAST_NAMESPACE_DEFAULT_HISTORY_MESSAGES: "20000",
    WIDECAST_NAMESPACE_DEFAULT_HISTORY_BYTES: String(64 * 1024 * 1024),
    WIDECAST_NAMESPACE_SHORT_HISTORY_MESSAGES: "2",
  };
  [broker, site, browser] = await Promise.all([startBroker({ settings }), startSite(), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await until("all sessions have ended", async () => (await figure("widecast_sessions")) === 0);
});

/** Opens a tab that is connected. In a browser the first is the leader. */
async function tab(context: BrowserContext, options: object = {}): Promise<Page> {
  const page = await openPage(context, `http://localhost:${site.port}/tab.html`);
  await page.evaluate(([url, options]) => self.start(url, options), [broker.url, options] as const);
  await until("the tab is connected", async () => (await page.evaluate(() => self.line()))[0] === "open");
  return page;
}

async function tabs(count: number, options: object = {}): Promise<Page[]> {
  const context = await browser.newContext();
  const pages = [];
  for (let i = 0; i < count; i++) pages.push(await tab(context, options));
  return pages;
}

/** What a figure of the broker is, summed over its labels. */
async function figure(name: string): Promise<number> {
  const text = await (await fetch(`${broker.url}/metrics`)).text();
  const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, "gm"))];
  return samples.reduce((sum, [, value]) => sum + Number(value), 0);
}

async function until(what: string, isSo: () => Promise<boolean>, patience = 30_000): Promise<void> {
  for (const deadline = Date.now() + patience; !(await isSo()); await pause(50)) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const join = (page: Page, name: string, options: object = {}, key = name) =>
  page.evaluate(([name, options, key]) => self.join(name, options, key), [name, options, key] as const);
const messages = (page: Page, key: string) => page.evaluate((key) => self.messages(key), key);
const publish = (page: Page, key: string, data: unknown) => page.evaluate(([key, data]) => self.publish(key, data), [key, data] as const);

/** Waits until so many were heard, and a copy too many would have been. */
async function heard(page: Page, key: string, count: number): Promise<string[]> {
  await until(`${count} messages are heard`, async () => (await messages(page, key)).length >= count).catch(() => {});
  await pause(300);
  return messages(page, key);
}

test("tabs of one browser have one session, two browsers have two", async () => {
  const [one, two] = await tabs(3);
  expect(await figure("widecast_sessions")).toBe(1);
  expect(await two!.evaluate(() => self.line())).toEqual(["open", "websocket"]);
  const [far] = await tabs(2);
  expect(await figure("widecast_sessions")).toBe(2);
  for (const page of [one!, two!, far!]) await join(page, "news");
  for (const page of [one!, two!, far!]) await publish(page, "news", "x");
  for (const page of [one!, two!, far!]) expect(await heard(page, "news", 2)).toEqual(["x", "x"]);
});

test("a tab that does not share has a session of its own", async () => {
  const [one] = await tabs(2, { share: false });
  expect(await figure("widecast_sessions")).toBe(2);
  await tab(one!.context());
  await tab(one!.context(), { scope: "ann" });
  await tab(one!.context(), { scope: "bob" });
  await tab(one!.context(), { transports: ["stream"] });
  expect(await figure("widecast_sessions")).toBe(6);
});

declare global {
  interface Window {
    start(url: string, options: object): void;
    line(): [state: string, transport: string];
    join(name: string, options: object, key: string): Promise<void>;
    leave(key: string): void;
    messages(key: string): string[];
    cursors(key: string): string[];
    events(key: string): [string, unknown][];
    publish(key: string, data: unknown): Promise<{ offset: number }>;
    members(key: string): Promise<unknown[]>;
    posting(key: string, who: string, rate: number, duration: number): Promise<number>;
  }
}
