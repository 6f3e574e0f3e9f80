/** Our BroadcastChannel in place of the browser's, as `data-replace-broadcast-channel` puts it there, without a broker. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, startBrowser } from "./browser.js";
import { type Site, startSite } from "./site.js";

let site: Site;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  [site, browser] = await Promise.all([startSite(), startBrowser()]);
  page = await openPage(browser, `http://localhost:${site.port}/replaced.html`);
  await page.waitForFunction("self.ready");
});
afterAll(async () => {
  await browser?.close();
  site?.close();
});

test.each([
  "it is a BroadcastChannel to whoever looks closely",
  "the broker is where the script came from, in a page and in a worker",
  "without that it is the page's server, also for a worker and a frame without an address",
  "who knows the broker and who only guesses it hear each other",
  "channels of two brokers do not hear each other",
  "a frame that was taken out of the page can make channels, which are deaf and dumb",
  "another copy of the script keeps to the browser's own BroadcastChannel",
  "values are still of the browser's own classes when a page has taken those away",
])("%s", async (name) => {
  expect(await page.evaluate(() => self.names)).toContain(name);
  await page.evaluate((name) => self.test(name), name);
}, 20_000);

declare global {
  interface Window {
    names: string[];
    test(name: string): Promise<void>;
  }
}
