/** Channel objects that nobody holds, in numbers: what they have posted is heard, what listens is kept, and the rest is collected. */
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { openPage } from "./browser.js";
import { broker, browser, setStage, site } from "./stage.js";

setStage();

const OBJECTS = 500;

/** So many bytes may be left of each object: ids that are remembered, and counters. A kept object takes some thousand. */
const BYTES_LEFT = 1500;

async function openTab(context: { newPage(): Promise<unknown> }, address: string): Promise<Page> {
  const page = (await openPage(context as never, `http://localhost:${site.port}/tab.html`)) as unknown as Page;
  await page.evaluate((url) => self.start(url, {}), address);
  return page;
}

/** The bytes of the page's heap that are in use, when all that can be collected is. */
async function heap(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  for (let round = 0; round < 5; round++) {
    await session.send("HeapProfiler.collectGarbage");
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 50)));
  }
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return usedSize;
}

/** What the page keeps for the test. */
interface Garbage {
  refs: WeakRef<object>[];
  heard: Set<number>;
}

const make = (page: Page, name: string, count: number, listen: boolean): Promise<void> =>
  page.evaluate(
    ([name, count, listen]) => {
      const garbage = ((self as never as { garbage?: Garbage }).garbage ??= { refs: [], heard: new Set() });
      for (let i = 0; i < count; i++) {
        const channel = self.make(name);
        if (listen) channel.onmessage = () => garbage.heard.add(i);
        else channel.postMessage(i);
        garbage.refs.push(new WeakRef(channel));
      }
    },
    [name, count, listen] as const,
  );

const alive = (page: Page): Promise<number> =>
  page.evaluate(() => (self as never as { garbage: Garbage }).garbage.refs.filter((ref) => ref.deref()).length);

test.each([
  ["with a connection of its tab", "alone"],
  ["with the connection of another tab", "follower"],
  ["without a broker", "local"],
])("%s", async (_, kind) => {
  const address = kind === "local" ? "http://127.0.0.1:9" : broker.url;
  const context = await browser.newContext();
  const other = await openTab(kind === "alone" ? await browser.newContext() : context, address);
  const name = `garbage ${kind}`;
  await other.evaluate(([name, isLocal]) => void (isLocal ? self.hear(name) : self.join(name, {}, name)), [
    name,
    kind === "local",
  ] as const);
  if (kind !== "local") await expect.poll(() => other.evaluate(() => self.line()[0])).toBe("open");
  const page = await openTab(context, address);
  if (kind !== "local") await page.evaluate((name) => self.join(name, {}, name), `${name} warm`);
  const before = await heap(page);

  await make(page, name, OBJECTS, false);
  const expected = Array.from({ length: OBJECTS }, (_, i) => i);
  await expect.poll(() => other.evaluate((name) => self.messages(name).length, name)).toBe(OBJECTS);
  expect(await other.evaluate((name) => self.messages(name), name)).toEqual(expected);
  await expect.poll(() => page.evaluate(() => self.queued())).toBe(kind === "local" ? OBJECTS : 0);
  await expect.poll(async () => (await heap(page), alive(page))).toBeLessThan(10);
  // Posts that wait for a broker are kept, each with a copy of its value.
  const left = async (): Promise<number> => ((await heap(page)) - before) / OBJECTS;
  if (kind !== "local") await expect.poll(left).toBeLessThan(BYTES_LEFT);

  await make(page, name, 10, true);
  await heap(page);
  expect(await alive(page)).toBeGreaterThanOrEqual(10);
  await expect
    .poll(async () => {
      await other.evaluate((name) => self.say(name, "hello"), name);
      return page.evaluate(() => (self as never as { garbage: Garbage }).garbage.heard.size);
    })
    .toBe(10);
});

declare global {
  interface Window {
    make(name: string): { onmessage: unknown; postMessage(value: unknown): void };
    hear(name: string): void;
    say(key: string, value: unknown): void;
    queued(): number;
  }
}
