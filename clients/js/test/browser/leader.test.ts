/**
 * The tab that has the connection for all others goes, in many ways, while all of them post. Driven by Puppeteer, since under
 * Playwright all pages are visible, and only hidden ones are frozen.
 */
import puppeteer, { type Browser, type BrowserContext, type Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { CHROMIUM, FLAGS } from "./browser.js";
import type { EngineContext, EnginePage } from "./engine.js";
import { type Site, startSite } from "./site.js";
import { openTabs, pause, sessions, SETTINGS, storm } from "./tabs.js";

let broker: Broker;
let site: Site;
let browser: Browser;
const contexts: BrowserContext[] = [];
beforeAll(async () => {
  const ignoreDefaultArgs = [
    "--disable-back-forward-cache",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
  ];
  const launching = puppeteer.launch({ executablePath: CHROMIUM, args: FLAGS, ignoreDefaultArgs });
  [broker, site, browser] = await Promise.all([startBroker({ settings: SETTINGS }), startSite(), launching]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
  await sessions(broker, 0);
});

async function tabs(count: number, options: object = {}): Promise<Page[]> {
  const context = await browser.createBrowserContext();
  contexts.push(context);
  const opened = await openTabs(context as unknown as EngineContext, { site, broker }, count, options);
  return opened as EnginePage[] as unknown as Page[];
}

/** How the leader goes for good. */
const ENDS: Record<string, (leader: Page) => Promise<unknown>> = {
  "is closed": (leader) => leader.close(),
  "goes to another page": (leader) => leader.goto(`http://127.0.0.1:${site.port}/`),
  crashes: async (leader) => {
    const crashed = new Promise((resolve) => leader.once("error", resolve));
    const session = await leader.createCDPSession();
    // It never answers.
    session.send("Page.crash").catch(() => {});
    await crashed;
  },
};

/** How the leader is away for a while. */
const ABSENCES: Record<string, (leader: Page, othersHaveBegun: () => Promise<void>) => Promise<unknown>> = {
  "is frozen": async (leader) => {
    const front = await leader.browserContext().newPage();
    await front.bringToFront();
    const session = await leader.createCDPSession();
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await pause(2500);
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await leader.bringToFront();
    await front.close();
  },
  "is in the back/forward cache": async (leader) => {
    const session = await leader.createCDPSession();
    await session.send("Page.enable");
    session.on("Page.backForwardCacheNotUsed", (event) => console.error(JSON.stringify(event.notRestoredExplanations)));
    await leader.goto(`http://localhost:${site.port}/`);
    await pause(2500);
    await leader.goBack();
    expect(await leader.evaluate(() => typeof self.posted), "the page was kept").toBe("function");
  },
  hangs: async (leader, othersHaveBegun) => {
    await leader.evaluate(() => self.hang());
    await othersHaveBegun().finally(() => site.release());
  },
};

/**
 * So long that a machine that is only busy does not look like a leader that hangs: whoever takes it for one posts again, and of a
 * channel with 500 messages a second the broker knows the ids of the last eight seconds.
 */
const UNHURRIED = { replyTimeout: 60_000 };

describe.each(["local", "broker"] as const)("in %s order nothing is lost or doubled", (order) => {
  test.each(Object.keys(ENDS))("when the leader %s", async (end) => {
    const all = await tabs(4);
    await storm(broker, all, { rate: 30, duration: 4000, order, event: () => ENDS[end]!(all[0]!), isEnd: true });
  });

  test.each(Object.keys(ABSENCES))("when the leader %s for a while", async (absence) => {
    // So long that a machine that is only busy does not look like a leader that hangs.
    const all = await tabs(3, { replyTimeout: 4000 });
    // One takes the place of a leader that has left; in that of one that hangs, which keeps its lock, each has to help itself.
    const others = absence === "hangs" ? 2 : 1;
    const event = (haveBegun: () => Promise<void>): Promise<unknown> => ABSENCES[absence]!(all[0]!, haveBegun);
    await storm(broker, all, { rate: 30, duration: 8000, order, event, others });
  });

  test("when ten tabs post 50 messages a second each for 20 seconds", { timeout: 180_000 }, async () => {
    await storm(broker, await tabs(10, UNHURRIED), { rate: 50, duration: 20_000, order });
  });

  test("when their leader crashes meanwhile", { timeout: 180_000 }, async () => {
    const all = await tabs(10, UNHURRIED);
    await storm(broker, all, { rate: 50, duration: 20_000, order, event: () => ENDS["crashes"]!(all[0]!), isEnd: true });
  });
});
