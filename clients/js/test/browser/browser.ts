/** Chromium, as the tests use it. */
import { type Browser, chromium } from "playwright-core";
import type { EnginePage } from "./engine.js";

export const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

export const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--js-flags=--expose-gc",
  // Sites with names of their own.
  "--host-resolver-rules=MAP *.example.test 127.0.0.1",
];

export function startBrowser(flags: string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...flags], headless: true });
}

/** Opens a page; what goes wrong in it goes wrong here. */
export async function openPage<P extends Pick<EnginePage, "goto" | "on">>(
  browser: { newPage(): Promise<P> },
  url: string,
): Promise<P> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`${url}: ${error.stack}`));
  await page.goto(url);
  return page;
}
