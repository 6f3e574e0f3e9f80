/** What most tests in browsers need: a broker, a site of another origin, and a browser, whose profiles end with each test. */
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { type EngineBrowser, startEngine } from "./engine.js";
import { type Site, startSite } from "./site.js";

export let broker: Broker;
export let site: Site;
export let browser: EngineBrowser;

/** Sets it up for the tests of a file. */
export function setStage({ settings = {} as Record<string, string> } = {}): void {
  beforeAll(async () => {
    [broker, site, browser] = await Promise.all([startBroker({ settings }), startSite(), startEngine()]);
  });
  afterAll(async () => {
    await browser?.close();
    site?.close();
    await broker?.kill();
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
  });
}
