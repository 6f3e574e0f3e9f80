/** Uploads from a page: by XMLHttpRequest, with its progress. */
import type { BrowserContext, Page } from "playwright-core";
import { expect, test } from "vitest";
import { openPage } from "./browser.js";
import { broker, browser, setStage, site } from "./stage.js";

setStage();

/** A profile of Chromium, whose network Playwright can slow down. */
const profile = async (): Promise<BrowserContext> => (await browser.newContext()) as BrowserContext;

/** A page with a channel, and what it hears. */
async function page(context: BrowserContext): Promise<Page> {
  const page = await openPage(context, `http://localhost:${site.port}/`);
  await page.addScriptTag({ url: "/client/widecast.iife.js" });
  await page.evaluate(async (url) => {
    const { Widecast } = self as never as { Widecast: typeof import("../../src/index.js") };
    const channel = new Widecast.WidecastChannel("files", { broker: url });
    const heard: unknown[] = [];
    channel.onmessage = ({ data }) => heard.push(data);
    Object.assign(self, { channel, heard });
    await channel.ready;
  }, broker.url);
  return page;
}

interface Scope {
  channel: import("../../src/index.js").WidecastChannel;
  heard: unknown[];
}

test("a form with a file arrives everywhere but here, once, and tells how far it is", async () => {
  const context = await profile();
  const [one, tab, far] = await Promise.all([page(context), page(context), page(await profile())]);
  // So slowly that there is progress to tell of.
  const network = await context.newCDPSession(one);
  await network.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: 5e5,
  });
  const progress = await one.evaluate(async () => {
    const { channel } = self as never as Scope;
    const form = new FormData();
    // Nothing that could be compressed.
    const parts = Array.from({ length: 12 }, () => crypto.getRandomValues(new Uint8Array(65_536)));
    form.append("file", new File(parts, "ä.bin", { type: "application/x-test" }));
    form.append("note", "Grüße");
    const told: [boolean, number, number][] = [];
    const receipt = await channel.upload(form, {
      onprogress: (event) => told.push([event instanceof ProgressEvent, event.loaded, event.total]),
    });
    await channel.publish("after");
    return { told, receipt };
  });
  expect(progress.receipt.offset).toBe(1);
  expect(progress.told.length).toBeGreaterThan(1);
  expect(progress.told.every(([isEvent]) => isEvent)).toBe(true);
  const [, loaded, total] = progress.told.at(-1)!;
  expect([loaded, total > 786_432]).toEqual([total, true]);
  for (const other of [tab, far]) {
    await other.waitForFunction(
      () => (self as never as Scope).heard.includes("after") && (self as never as Scope).heard.length > 1,
    );
    const heard = await other.evaluate(async () => {
      const { heard } = self as never as Scope;
      const { file, note } = heard.find((each) => each !== "after") as { file: File; note: string };
      return [heard.length, file instanceof File, file.name, file.type, file.size, note];
    });
    expect(heard).toEqual([2, true, "ä.bin", "application/x-test", 786_432, "Grüße"]);
  }
  expect(await one.evaluate(() => (self as never as Scope).heard)).toEqual([]);
});

test("an upload is given up, and one that is too large is not begun", async () => {
  const one = await page(await profile());
  const failures = await one.evaluate(async () => {
    const { channel } = self as never as Scope;
    const failure = (error: { name: string; code?: string }) => [error.name, error.code];
    const stop = new AbortController();
    const given = channel
      .upload(new Blob([crypto.getRandomValues(new Uint8Array(65_536))]), { signal: stop.signal })
      .catch(failure);
    stop.abort(new DOMException("changed my mind", "AbortError"));
    const large = channel.upload(new Blob([new Uint8Array(1_048_577)])).catch(failure);
    return [await given, await large];
  });
  expect(failures).toEqual([
    ["AbortError", DOMException.ABORT_ERR],
    ["WidecastError", "message_too_large"],
  ]);
});
