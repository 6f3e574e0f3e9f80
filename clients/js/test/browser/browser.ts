/** Chromium, as the tests use it. */
import { type Browser, chromium, type Page } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--js-flags=--expose-gc",
];

export function startBrowser(flags: string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: [...FLAGS, ...flags], headless: true });
}

/** Opens a page; what goes wrong in it goes wrong here. */
export async function openPage(browser: { newPage(): Promise<Page> }, url: string): Promise<Page> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`${url}: ${error.stack}`));
  await page.goto(url);
  return page;
}
