/** The semantics of BroadcastChannel in a browser, once of the native object and once of ours. */
import { describe, expect, test } from "vitest";
import { openPage } from "./browser.js";
import type { EnginePage } from "./engine.js";
import { broker, browser, setStage, site } from "./stage.js";

setStage();

/** Where a test runs, as a script that puts the BroadcastChannel to test at `self.Channel`. */
const KINDS = ["native", "ours", "ours without a broker", "the script"] as const;
type Kind = (typeof KINDS)[number];

function query(kind: Kind): string {
  const address = kind === "ours without a broker" ? "http://127.0.0.1:9" : broker.url;
  return String(new URLSearchParams({ kind, broker: address }));
}

async function page(kind: Kind): Promise<EnginePage> {
  const context = await browser.newContext();
  return openPage(context, `http://localhost:${site.port}/page.html?${query(kind)}`);
}

describe.each(KINDS)("%s", (kind) => {
  test.each(["page", "frame", "worker", "module worker", "shared worker", "service worker"])("in a %s", async (place) => {
    const opened = await page(kind);
    expect(await opened.evaluate((place) => self.runIn(place, "battery"), place)).toEqual([]);
  });

  test.each(["page", "worker"])("clones in a %s", async (place) => {
    const opened = await page(kind);
    expect(await opened.evaluate((place) => self.runIn(place, "clones"), place)).toEqual([]);
  });

  test("between contexts", async () => {
    const opened = await page(kind);
    expect(await opened.evaluate(() => self.between())).toEqual([]);
  });
});

declare global {
  interface Window {
    runIn(place: string, suite: string): Promise<string[]>;
    between(): Promise<string[]>;
  }
}
