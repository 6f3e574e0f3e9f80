/** Two browsers, as two machines have them: everything goes through the broker. */
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { openPage, startBrowser } from "./browser.js";
import { type Site, startSite } from "./site.js";

let broker: Broker;
let site: Site;
let browser: Browser;
beforeAll(async () => {
  [broker, site, browser] = await Promise.all([startBroker(), startSite(), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
});

/** A page in a profile of its own. */
async function machine(options: object = {}): Promise<Page> {
  const page = await openPage(await browser.newContext(), `http://localhost:${site.port}/machine.html`);
  await page.evaluate(([url, options]) => self.start(url, options), [broker.url, options] as const);
  return page;
}

test.each(["websocket", "sse", "stream", "poll"])("values travel over %s", async (transport) => {
  const [sender, receiver] = await Promise.all([machine({ transports: [transport] }), machine({ transports: [transport] })]);
  await receiver.evaluate(() => self.compare());
  expect(await sender.evaluate(() => self.sendAll())).toBeGreaterThan(150);
  await sender.evaluate(() => self.finished());
  expect(await receiver.evaluate(() => self.failures())).toEqual([]);
  expect(await sender.evaluate(() => self.transport())).toBe(transport);
});

test("tabs of one browser hear each other once, and so do other browsers", async () => {
  const one = await machine();
  const context = one.context();
  const two = await openPage(context, `http://localhost:${site.port}/machine.html`);
  await two.evaluate(([url]) => self.start(url, {}), [broker.url] as const);
  const far = await machine();
  const pages = [one, two, far];
  await Promise.all(pages.map((page) => page.evaluate(() => self.count("once"))));
  await Promise.all(pages.map((page, index) => page.evaluate((index) => self.post("once", index, 100), index)));
  const heard = await Promise.all(pages.map((page) => page.evaluate(() => self.heard(200))));
  heard.forEach((messages, own) => {
    expect(messages.length).toBe(200);
    for (const from of [0, 1, 2]) {
      const expected = from === own ? [] : Array.from({ length: 100 }, (_, i) => `${from} ${i}`);
      expect(messages.filter((message) => message.startsWith(`${from} `))).toEqual(expected);
    }
  });
});

test("one tag makes the broker's the BroadcastChannel of a page", async () => {
  const open = async () => {
    const page = await openPage(await browser.newContext(), `http://localhost:${site.port}/`);
    await page.evaluate(
      (src) =>
        new Promise((resolve) => {
          const script = Object.assign(document.createElement("script"), { src, onload: resolve });
          script.setAttribute("data-replace-broadcast-channel", "");
          document.head.append(script);
        }),
      `${broker.url}/client/widecast.iife.js`,
    );
    return page;
  };
  const [one, two] = await Promise.all([open(), open()]);
  await two.evaluate(async () => {
    const channel = new BroadcastChannel("tag") as BroadcastChannel & { ready: Promise<void> };
    Object.assign(self, { next: new Promise((resolve) => (channel.onmessage = ({ data, origin }) => resolve([data, origin]))) });
    await channel.ready;
  });
  await one.evaluate(() => new BroadcastChannel("tag").postMessage("to another machine"));
  expect(await two.evaluate(() => (self as never as { next: unknown }).next)).toEqual(["to another machine", `http://localhost:${site.port}`]);
});

declare global {
  interface Window {
    start(url: string, options: object): Promise<void>;
    compare(): Promise<void>;
    sendAll(): Promise<number>;
    finished(): Promise<void>;
    failures(): Promise<string[]>;
    transport(): string;
    count(name: string): Promise<void>;
    post(name: string, index: number, count: number): Promise<void>;
    heard(count: number): Promise<string[]>;
  }
}
