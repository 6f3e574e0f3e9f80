/** Tabs of a browser, as a test has them, and what all must have heard when all have posted. */
import { expect } from "vitest";
import type { Broker } from "../broker.js";
import { openPage } from "./browser.js";
import type { EngineContext, EnginePage } from "./engine.js";
import type { Site } from "./site.js";

/** A history long enough for the slowest machine to come back in time, but in the namespace `short`. */
export const SETTINGS = {
  WIDECAST_NAMESPACE_DEFAULT_HISTORY_MESSAGES: "20000",
  WIDECAST_NAMESPACE_DEFAULT_HISTORY_BYTES: String(64 * 1024 * 1024),
  WIDECAST_LIMITS_MESSAGES_PER_HISTORY: "20000",
  WIDECAST_NAMESPACE_SHORT_HISTORY_MESSAGES: "2",
};

export type Tab = Pick<EnginePage, "evaluate">;

/** Opens tabs one after the other, each connected: the first is the leader. */
export async function openTabs<P extends EnginePage>(
  context: Omit<EngineContext, "newPage"> & { newPage(): Promise<P> },
  { site, broker }: { site: Site; broker: Broker },
  count = 1,
  options: object = {},
): Promise<P[]> {
  const pages: P[] = [];
  while (pages.length < count) {
    const page = await openPage(context, `http://localhost:${site.port}/tab.html`);
    await page.evaluate(([url, options]) => self.start(url, options), [broker.url, options] as const);
    await until("the tab is connected", async () => (await page.evaluate(() => self.line()))[0] === "open");
    pages.push(page);
  }
  return pages;
}

export const join = (tab: Tab, name: string, options: object = {}, key = name): Promise<void> =>
  tab.evaluate(([name, options, key]) => self.join(name, options, key), [name, options, key] as const);
export const events = (tab: Tab, key: string): Promise<[string, unknown][]> => tab.evaluate((key) => self.events(key), key);
export const publish = (tab: Tab, key: string, data: unknown): Promise<unknown> =>
  tab.evaluate(([key, data]) => self.publish(key, data), [key, data] as const);

/** Waits until so many were heard, and a copy too many would have been. */
export async function heard(tab: Tab, key: string, count: number): Promise<unknown[]> {
  const isEnough = async (): Promise<boolean> => (await tab.evaluate((key) => self.messages(key).length, key)) >= count;
  await until("enough is heard", isEnough).catch(() => {});
  await pause(300);
  return tab.evaluate((key) => self.messages(key), key);
}

/** What a figure of the broker is, summed over its labels. */
export async function figure(broker: Broker, name: string): Promise<number> {
  const text = await (await fetch(`${broker.url}/metrics`)).text();
  const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, "gm"))];
  return samples.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Waits until the broker has so many sessions. */
export async function sessions(broker: Broker, count: number): Promise<void> {
  await expect.poll(() => figure(broker, "widecast_sessions"), { timeout: 60_000 }).toBe(count);
}

export async function until(what: string, isSo: () => Promise<boolean>, patience = 30_000): Promise<void> {
  for (const deadline = Date.now() + patience; !(await isSo()); await pause(50)) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface Storm {
  /** Of each tab, a second. */
  rate: number;
  /** In milliseconds. */
  duration: number;
  order: "local" | "broker";
  /** What happens to the first tab in the middle. It may wait until the sessions have begun that begin because of it. */
  event?: (othersHaveBegun: () => Promise<void>) => Promise<unknown>;
  /** Whether it is gone then. */
  isEnd?: boolean;
  /** How many sessions begin because of it. */
  others?: number;
}

/** All tabs post, something happens to the leader, and what everybody has heard is held against what the broker has. */
export async function storm(
  broker: Broker,
  tabs: Tab[],
  { rate, duration, order, event, isEnd = false, others = 1 }: Storm,
): Promise<void> {
  const name = `storm ${Math.random()}`;
  await Promise.all(tabs.map((tab) => join(tab, name, { order })));
  await sessions(broker, 1);
  const begin = (tab: Tab, who: number): Promise<void> =>
    tab.evaluate(([...call]) => self.post(...call), [name, `${who}`, rate, duration] as [string, string, number, number]);
  await Promise.all(tabs.map(begin));
  const opened = await figure(broker, "widecast_sessions_opened_total");
  const haveOthersBegun = async (): Promise<boolean> =>
    (await figure(broker, "widecast_sessions_opened_total")) >= opened + others;
  await pause(duration / 2);
  await event?.(() => until("other sessions begin", haveOthersBegun));
  const listeners = [...tabs.keys()].slice(isEnd ? 1 : 0);
  const posted = await Promise.all(listeners.map((who) => tabs[who]!.evaluate(() => self.posted())));
  const truth = await past(broker, name);
  listeners.forEach((who, index) =>
    expect(of(truth, who), `what the broker has of ${who}`).toEqual(numbered(who, posted[index]!)),
  );
  if (isEnd) expect(of(truth, 0), "what the broker has of the one that is gone").toEqual(numbered(0, of(truth, 0).length));
  for (const who of listeners) {
    const expected = truth.filter((message) => !message.startsWith(`${who} `));
    const found = (await heard(tabs[who]!, name, expected.length)) as string[];
    if (order === "broker") expect(found, `what ${who} has heard`).toEqual(expected);
    for (const from of tabs.keys()) {
      const [whole, part] = [of(expected, from), of(found, from)];
      // What the one that is gone has said last was heard here, but may not have reached the broker.
      const extra = order === "local" && isEnd && from === 0 ? Math.max(0, part.length - whole.length) : 0;
      expect(part, `what ${who} has heard of ${from}`).toEqual(from === who ? [] : numbered(from, whole.length + extra));
    }
    expect(await events(tabs[who]!, name), `what ${who} was told`).toEqual([]);
  }
  await sessions(broker, 1);
  if (event) expect(await haveOthersBegun(), "whether other sessions have begun").toBe(true);
}

const of = (messages: string[], who: number): string[] => messages.filter((message) => message.startsWith(`${who} `));
const numbered = (who: number, count: number): string[] => Array.from({ length: count }, (_, i) => `${who} ${i}`);

/** All that the broker has of a channel, in its order. */
async function past(broker: Broker, name: string): Promise<string[]> {
  const answer = await fetch(`${broker.url}/channels/${encodeURIComponent(name)}/messages?limit=20000`);
  const { messages } = (await answer.json()) as { messages: { data: string }[] };
  return messages.map(({ data }) => data);
}

declare global {
  /** What tab.js offers. */
  interface Window {
    start(url: string, options: object): void;
    begin(broker: string): Promise<void>;
    line(): [state: string, transport: string];
    join(name: string, options: object, key: string): Promise<void>;
    hear(name: string, options: object, key: string): void;
    leave(key: string): void;
    messages(key: string): string[];
    cursors(key: string): string[];
    events(key: string): [string, unknown][];
    say(key: string, data: unknown): void;
    publish(key: string, data: unknown): Promise<{ offset: number }>;
    members(key: string): Promise<unknown[]>;
    hang(): void;
    post(key: string, who: string, rate: number, duration: number): void;
    posted(): Promise<number>;
  }
}
