/** Whom the bridge lets through, and what both of its ends keep to themselves. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContext, Frame, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type * as Client from "../../src/index.js";
import { type Broker, startBroker } from "../broker.js";
import { Proxy } from "../proxy.js";
import { confined, frames, hears, listen, OPTIONS } from "./bridged.js";
import { openPage, startBrowser } from "./browser.js";
import { type Site, startSite } from "./site.js";

declare const Widecast: typeof Client;

// A page without an origin is in the public network to Chromium, which therefore keeps it from a broker on this machine.
const FLAGS = ["--host-resolver-rules=MAP evil.example 127.0.0.1", "--disable-features=LocalNetworkAccessChecks"];

let broker: Broker;
let site: Site;
let browser: Browser;
let context: BrowserContext;
const opened: { close(): void }[] = [];
beforeAll(async () => {
  [broker, site, browser] = await Promise.all([startBroker(), startSite(), startBrowser(FLAGS)]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
});
beforeEach(async () => void (context = await browser.newContext()));
afterEach(async () => {
  opened.splice(0).forEach((each) => each.close());
  await context.close();
});

/** One attempt only, for now. */
const ONCE = { ...OPTIONS, transports: ["websocket"] as Client.TransportName[], minDelay: 60_000, maxDelay: 60_000 };

test("a page in a page of another origin may use the bridge if both are allowed", async () => {
  const outer = await openPage(context, `http://127.0.0.1:${site.port}/`);
  const url = `http://localhost:${site.port}/machine.html`;
  await outer.evaluate((src) => document.body.append(Object.assign(document.createElement("iframe"), { src })), url);
  await expect.poll(() => outer.frames().some((frame) => frame.url() === url)).toBe(true);
  const inner = outer.frames().find((frame) => frame.url() === url) as never as Page;
  await inner.waitForFunction(() => "machine" in self);
  await listen(inner, broker.url);
  await broker.publish("bridge", 1);
  await hears(inner, [1]);
});

test("a page without an origin may use the bridge where that is allowed", async () => {
  const own = await startBroker({ settings: { WIDECAST_SERVER_ALLOWED_ORIGINS: "null" } });
  opened.push({ close: () => void own.kill() });
  const page = await openPage(context, "about:blank");
  await page.addScriptTag({ url: `${own.url}/client/widecast.iife.js` });
  expect(await page.evaluate(() => origin)).toBe("null");
  await listen(page, own.url);
  expect(await frames(page)).toBe(1);
  await own.publish("bridge", 1);
  await hears(page, [1]);
});

test("a page that is not allowed is told why it gets nothing", async () => {
  const page = await confined(context, site, "evil.example");
  const reason = await page.evaluate(
    ([url, options]) =>
      new Promise((resolve) => {
        const connection = Widecast.connect(url, options);
        connection.addEventListener("status", (event) => {
          const { state, reason } = (event as CustomEvent).detail;
          if (state === "waiting") resolve(reason);
        });
      }),
    [broker.url, ONCE] as const,
  );
  expect(reason).toContain(`is http://evil.example:${site.port} in server.allowed_origins?`);
  expect(await frames(page)).toBe(0);
});

/** Frames the bridge that is meant for another page, hands it a port, and asks it to connect. */
async function trespass(page: Page, address: string): Promise<Frame> {
  await page.evaluate(async (address) => {
    const frame = document.createElement("iframe");
    frame.src = address;
    const loaded = new Promise((resolve) => (frame.onload = resolve));
    document.body.append(frame);
    await loaded;
    const { port1, port2 } = new MessageChannel();
    const heard: unknown[] = [];
    Object.assign(self, { heard });
    port1.onmessage = ({ data }) => heard.push([data]);
    frame.contentWindow!.postMessage(["websocket", "a".repeat(32)], "*", [port2]);
  }, address);
  return page.frames()[1]!;
}

const taken = (page: Page): Promise<unknown[]> => page.evaluate(() => (self as never as { heard: unknown[] }).heard);

test("the browser shows the bridge in no page but the one it is for", async () => {
  const page = await confined(context, site, "evil.example");
  const refusal = page.waitForEvent("console", (message) => message.text().includes("frame-ancestors"));
  await trespass(page, `${broker.url}/bridge.html?origin=http://localhost:${site.port}`);
  expect((await refusal).text()).toContain(`http://localhost:${site.port}`);
  expect(await taken(page)).toEqual([]);
});

test("the script takes no port from another page, where a proxy has lost the policy", async () => {
  const proxy = await Proxy.start(broker.url);
  opened.push(proxy);
  proxy.withheld.push("content-security-policy");
  const page = await confined(context, site, "evil.example");
  const warning = page.waitForEvent("console", (message) => message.type() === "warning");
  const frame = await trespass(page, `${proxy.url}/bridge.html?origin=http://localhost:${site.port}`);
  expect(frame.url()).toContain("/bridge.html");
  expect((await warning).text()).toContain(`a port from a page of http://evil.example:${site.port} was not taken`);
  expect(await taken(page)).toEqual([]);
  expect(proxy.seen).not.toContain("ws");
});

test("the script takes no port from a frame beside it, though it is of the same origin", async () => {
  const page = await confined(context, site);
  await listen(page, broker.url);
  const warning = page.waitForEvent("console", (message) => message.type() === "warning");
  await page.evaluate(() => {
    const script = `parent.frames[0].postMessage(["websocket", "a".repeat(32)], "*", [new MessageChannel().port2])`;
    document.body.append(Object.assign(document.createElement("iframe"), { srcdoc: `<script>${script}</script>` }));
  });
  expect((await warning).text()).toContain("was not taken");
});

test("the port goes to nobody but the broker, and what others say is not heard", async () => {
  // A broker's address that leads elsewhere: to a page that takes what it is given, and speaks out of turn.
  const thief = `<script>
    self.taken = [];
    onmessage = ({ ports }) => taken.push(...ports);
    parent.postMessage([{ type: "welcome", session: "s" }], "*");
  </script>`;
  const leading = createServer((request, response) => {
    const { host, pathname } = new URL(request.url!, `http://${request.headers.host}`);
    if (pathname === "/bridge.html") response.writeHead(302, { location: `http://localhost:${host.split(":")[1]}/thief` }).end();
    else response.writeHead(200, { "content-type": "text/html" }).end(thief);
  });
  leading.listen(0, "127.0.0.1");
  await once(leading, "listening");
  opened.push(leading);
  const page = await confined(context, site);
  const url = `http://127.0.0.1:${(leading.address() as AddressInfo).port}`;
  const states = page.evaluate(
    ([url, options]) =>
      new Promise<string[]>((resolve) => {
        const connection = Widecast.connect(url, options);
        const states: string[] = [];
        connection.addEventListener(
          "status",
          () => states.push(connection.state) && connection.state === "waiting" && resolve(states),
        );
      }),
    [url, ONCE] as const,
  );
  await expect.poll(() => page.frames()[1]?.url()).toContain("/thief");
  const frame = page.frames()[1]!;
  // It hears what is sent to it after what the page has sent.
  await page.evaluate(() => self.frames[0]!.postMessage("to anybody", "*"));
  await frame.waitForFunction(() => "taken" in self);
  expect(await frame.evaluate(() => (self as never as { taken: unknown[] }).taken)).toEqual([]);
  expect(await states).not.toContain("open");
});
