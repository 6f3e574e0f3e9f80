/** The tabs of a browser share one connection, whatever becomes of the tab that has it. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { BareContext, type BarePage } from "./bare.js";
import { openPage, startBrowser } from "./browser.js";
import { type Site, startSite } from "./site.js";

let broker: Broker;
let site: Site;
let browser: Browser;
const bare: BareContext[] = [];
beforeAll(async () => {
  // A history long enough for the slowest machine to come back in time.
  const settings = {
    WIDECAST_NAMESPACE_DEFAULT_HISTORY_MESSAGES: "20000",
    WIDECAST_NAMESPACE_DEFAULT_HISTORY_BYTES: String(64 * 1024 * 1024),
    WIDECAST_LIMITS_MESSAGES_PER_HISTORY: "20000",
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
  for (const context of [...browser.contexts(), ...bare.splice(0)]) await context.close();
  await sessions(0);
});

/** What both kinds of pages can do. */
type Tab = Pick<BarePage, "evaluate">;

/** Opens a tab that is connected. In a browser the first is the leader. */
async function tab(context: BrowserContext, options: object = {}): Promise<Page> {
  const page = await openPage(context, `http://localhost:${site.port}/tab.html`);
  await start(page as Tab, options);
  return page;
}

async function start(page: Tab, options: object): Promise<void> {
  await page.evaluate(([url, options]) => self.start(url, options), [broker.url, options] as const);
  await until("the tab is connected", async () => (await page.evaluate(() => self.line()))[0] === "open");
}

async function tabs(count: number, options: object = {}): Promise<Page[]> {
  const context = await browser.newContext();
  const pages = [];
  for (let i = 0; i < count; i++) pages.push(await tab(context, options));
  return pages;
}

async function bareTabs(count: number, options: object): Promise<BarePage[]> {
  const context = await BareContext.open(browser);
  bare.push(context);
  const pages = [];
  for (let i = 0; i < count; i++) {
    const page = await context.newPage(`http://localhost:${site.port}/tab.html`);
    await start(page, options);
    pages.push(page);
  }
  return pages;
}

/** What a figure of the broker is, summed over its labels. */
async function figure(name: string): Promise<number> {
  const text = await (await fetch(`${broker.url}/metrics`)).text();
  const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, "gm"))];
  return samples.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Waits until the broker has so many sessions. */
async function sessions(count: number): Promise<void> {
  let found;
  await until(`${count} sessions`, async () => (found = await figure("widecast_sessions")) === count).catch(() => {});
  expect(found, "sessions").toBe(count);
}

async function until(what: string, isSo: () => Promise<boolean>, patience = 30_000): Promise<void> {
  for (const deadline = Date.now() + patience; !(await isSo()); await pause(50)) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const join = (page: Tab, name: string, options: object = {}, key = name) =>
  page.evaluate(([name, options, key]) => self.join(name, options, key), [name, options, key] as const);
const messages = (page: Tab, key: string) => page.evaluate((key) => self.messages(key), key);
const events = (page: Tab, key: string) => page.evaluate((key) => self.events(key), key);
const publish = (page: Page, key: string, data: unknown) => page.evaluate(([key, data]) => self.publish(key, data), [key, data] as const);

/** Waits until so many were heard, and a copy too many would have been. */
async function heard(page: Tab, key: string, count: number): Promise<string[]> {
  await until(`${count} messages are heard`, async () => (await page.evaluate((key) => self.messages(key).length, key)) >= count).catch(() => {});
  await pause(300);
  return messages(page, key);
}

test("tabs of one browser have one session, two browsers have two", async () => {
  const [one, two] = await tabs(3);
  await sessions(1);
  expect(await two!.evaluate(() => self.line())).toEqual(["open", "websocket"]);
  const [far] = await tabs(2);
  await sessions(2);
  for (const page of [one!, two!, far!]) await join(page, "news");
  for (const page of [one!, two!, far!]) await publish(page, "news", "x");
  for (const page of [one!, two!, far!]) expect(await heard(page, "news", 2)).toEqual(["x", "x"]);
});

test("a tab that does not share has a session of its own", async () => {
  const [one] = await tabs(2, { share: false });
  await sessions(2);
  await tab(one!.context());
  await tab(one!.context(), { scope: "ann" });
  await tab(one!.context(), { scope: "bob" });
  await tab(one!.context(), { transports: ["stream"] });
  await sessions(6);
});


test("workers share it, too", async () => {
  const [one] = await tabs(1);
  await join(one!, "news");
  const heard = await one!.evaluate(async (url) => {
    const worker = new Worker("/tab_worker.js");
    const ask = (...call: unknown[]) =>
      new Promise((resolve) => ((worker.onmessage = ({ data }) => resolve(data)), worker.postMessage(call)));
    await ask("start", url);
    await ask("join", "news", { order: "broker" });
    await self.publish("news", "from the page");
    await ask("publish", "news", "from the worker");
    return ask("messages", "news");
  }, broker.url);
  expect(heard).toEqual(["from the page"]);
  expect(await messages(one!, "news")).toEqual(["from the worker"]);
  await sessions(1);
});

test("a tab resumes from a cursor, hears history, and is told of a gap, over the shared session", async () => {
  const [one, two] = (await tabs(2)) as [Page, Page];
  for (const name of ["news", "short:news"]) {
    await join(one, name);
    for (let i = 0; i < 6; i++) await broker.publish(name, i);
    await heard(one, name, 6);
  }
  const cursors = await one.evaluate(() => [self.cursors("news")[1]!, self.cursors("short:news")[1]!]);
  await join(two, "news");
  await join(two, "news", { cursor: cursors[0] }, "since");
  await join(two, "short:news", { cursor: cursors[1] });
  const three = await tab(one.context());
  await join(three, "news", { cursor: cursors[0] });
  const four = await tab(one.context());
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
  await sessions(1);
});

test("each tab is present by itself", async () => {
  const [one, two] = (await tabs(2)) as [Page, Page];
  await join(one, "room", { presence: "Ann" });
  await join(two, "room", { presence: "Bob" });
  expect((await one.evaluate(() => self.members("room"))).sort()).toEqual(["Ann", "Bob"]);
  await until("Ann has seen Bob", async () => (await events(one, "room")).length > 0);
  expect(await events(one, "room")).toEqual([["join", "Bob"]]);
  await publish(one, "room", "hello");
  expect(await heard(two, "room", 1)).toEqual(["hello"]);
});

test("a tab that closes its last channel keeps the others' subscriptions", async () => {
  const [one, two] = (await tabs(2)) as [Page, Page];
  await Promise.all([join(one, "news"), join(two, "news"), join(two, "other")]);
  expect(await figure("widecast_subscriptions")).toBe(2);
  await one.evaluate(() => self.leave("news"));
  await two.evaluate(() => self.leave("other"));
  await until("the other channel is left", async () => (await figure("widecast_subscriptions")) === 1);
  await broker.publish("news", "still heard");
  expect(await heard(two, "news", 1)).toEqual(["still heard"]);
});

/** How the leader goes. */
const ENDS: Record<string, (page: Page) => Promise<unknown>> = {
  closed: (page) => page.close(),
  "left for another page": (page) => page.goto(`http://localhost:${site.port}/`),
  crashed: async (page) => {
    const crashed = page.waitForEvent("crash");
    const session = await page.context().newCDPSession(page);
    // It never answers.
    session.send("Page.crash").catch(() => {});
    await crashed;
  },
};

/** Ways of the leader to be absent for a while. */
const ABSENCES: Record<string, (page: BarePage) => Promise<unknown>> = {
  frozen: async (page) => {
    await page.send("Page.setWebLifecycleState", { state: "frozen" });
    await pause(2500);
    await page.send("Page.setWebLifecycleState", { state: "active" });
  },
  "in the back/forward cache": async (page) => {
    await page.goto(`http://localhost:${site.port}/`);
    await pause(2500);
    await page.back();
  },
  hung: async (page) => {
    await page.evaluate(() => self.hang(4000));
    await pause(3500);
  },
};

interface Storm {
  /** Of each tab, a second. */
  rate: number;
  duration: number;
  order: "local" | "broker";
  /** What happens to the first tab in the middle. */
  event?: () => Promise<unknown>;
  /** Whether it is gone then. */
  isEnd?: boolean;
  /** How many sessions begin because of it. */
  others?: number;
}

/** All tabs post, something happens to the leader, and what everybody has heard is held against what the broker has. */
async function storm(pages: Tab[], { rate, duration, order, event, isEnd = false, others = 1 }: Storm): Promise<void> {
  const name = `storm ${Math.random()}`;
  await Promise.all(pages.map((page) => join(page, name, { order })));
  await sessions(1);
  const begin = (page: Tab, who: number) =>
    page.evaluate(([...call]) => self.post(...call), [name, `${who}`, rate, duration] as [string, string, number, number]);
  await Promise.all(pages.map(begin));
  const opened = await figure("widecast_sessions_opened_total");
  await pause(duration / 2);
  await event?.();
  const listeners = [...pages.keys()].slice(isEnd ? 1 : 0);
  const posted = await Promise.all(listeners.map((who) => pages[who]!.evaluate(() => self.posted())));
  const truth = await past(name);
  listeners.forEach((who, index) => expect(of(truth, who), `what the broker has of ${who}`).toEqual(numbered(who, posted[index]!)));
  if (isEnd) expect(of(truth, 0)).toEqual(numbered(0, of(truth, 0).length));
  for (const who of listeners) {
    const expected = truth.filter((message) => !message.startsWith(`${who} `));
    const found = await heard(pages[who]!, name, expected.length);
    if (order === "broker") expect(found, `what ${who} has heard`).toEqual(expected);
    for (const from of pages.keys()) {
      const [whole, part] = [of(expected, from), of(found, from)];
      // What the one that is gone has said last was heard here, but may not have reached the broker.
      const extra = order === "local" && isEnd && from === 0 ? Math.max(0, part.length - whole.length) : 0;
      expect(part, `what ${who} has heard of ${from}`).toEqual(from === who ? [] : numbered(from, whole.length + extra));
    }
    expect(await events(pages[who]!, name)).toEqual([]);
  }
  await sessions(1);
  if (event) expect(await figure("widecast_sessions_opened_total")).toBeGreaterThanOrEqual(opened + others);
}

const of = (messages: string[], who: number) => messages.filter((message) => message.startsWith(`${who} `));
const numbered = (who: number, count: number) => Array.from({ length: count }, (_, i) => `${who} ${i}`);

/** All that the broker has of a channel, in its order. */
async function past(name: string): Promise<string[]> {
  const answer = await fetch(`${broker.url}/channels/${encodeURIComponent(name)}/messages?limit=20000`);
  const { messages } = (await answer.json()) as { messages: { data: string }[] };
  return messages.map(({ data }) => data);
}

describe.each(["local", "broker"] as const)("in %s order", (order) => {
  test.each(Object.keys(ENDS))("nothing is lost or doubled when the leader is %s", async (end) => {
    const pages = await tabs(4);
    await storm(pages as Tab[], { rate: 30, duration: 4000, order, event: () => ENDS[end]!(pages[0]!), isEnd: true });
  });

  test.each(Object.keys(ABSENCES))("nothing is lost or doubled when the leader is %s for a while", async (absence) => {
    const pages = await bareTabs(3, { replyTimeout: 1500 });
    // One takes the place of a leader that has left; in that of one that hangs, which keeps its lock, each has to help itself.
    const others = absence === "hung" ? 2 : 1;
    await storm(pages, { rate: 30, duration: 8000, order, event: () => ABSENCES[absence]!(pages[0]!), others });
  });

  test("ten tabs post 50 messages a second each for 20 seconds", { timeout: 180_000 }, async () => {
    await storm((await tabs(10)) as Tab[], { rate: 50, duration: 20_000, order });
  });

  test("ten tabs do so while their leader crashes", { timeout: 180_000 }, async () => {
    const pages = await tabs(10);
    await storm(pages as Tab[], { rate: 50, duration: 20_000, order, event: () => ENDS["crashed"]!(pages[0]!), isEnd: true });
  });
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
    hang(milliseconds: number): void;
    post(key: string, who: string, rate: number, duration: number): void;
    posted(): Promise<number>;
  }
}
