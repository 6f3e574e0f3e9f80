/** Our BroadcastChannel in place of the browser's, as `data-replace-broadcast-channel` puts it there, without a broker. */
import { afterAll, beforeAll, test } from "vitest";
import { openPage } from "./browser.js";
import { type EngineBrowser, type EnginePage, startEngine } from "./engine.js";
import { type Site, startSite } from "./site.js";

let site: Site;
let browser: EngineBrowser;
let page: EnginePage;
beforeAll(async () => {
  [site, browser] = await Promise.all([startSite(), startEngine()]);
  page = await openPage(await browser.newContext(), `http://localhost:${site.port}/replaced.html`);
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
])(
  "%s",
  async (name) => {
    await page.evaluate(async (name) => (await self.tests)[name]!(), name);
  },
  20_000,
);

declare global {
  interface Window {
    tests: Promise<Record<string, () => Promise<void>>>;
  }
}
