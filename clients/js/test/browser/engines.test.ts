/** Machines with different browsers: a value is the same in all of them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { type EngineBrowser, startEngine } from "./engine.js";
import { startMachine } from "./machine.js";
import { type Site, startSite } from "./site.js";

let broker: Broker;
let site: Site;
const browsers: Record<string, EngineBrowser> = {};
beforeAll(async () => {
  [broker, site] = await Promise.all([startBroker(), startSite()]);
  for (const engine of ["chromium", "firefox"] as const) browsers[engine] = await startEngine(engine);
});
afterAll(async () => {
  for (const browser of Object.values(browsers)) await browser.close();
  site?.close();
  await broker?.kill();
});

test.each([
  ["chromium", "firefox"],
  ["firefox", "chromium"],
])("values travel from %s to %s", async (from, to) => {
  const [sender, receiver] = await Promise.all([from, to].map((engine) => startMachine(browsers[engine]!, site, broker.url)));
  await receiver!.page.evaluate(() => self.compare(true));
  expect(await sender!.page.evaluate(() => self.sendAll(true))).toBeGreaterThan(150);
  expect(await receiver!.page.evaluate(() => self.failures())).toEqual([]);
});
