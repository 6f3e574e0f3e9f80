/** Pages that may not connect to the broker, and reach it through a frame of its own page. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContext, Frame, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type * as Client from "../../src/index.js";
import { type Broker, startBroker } from "../broker.js";
import { Proxy } from "../proxy.js";
import { openPage, startBrowser } from "./browser.js";
import { type Machine, machineOf, startMachine, TRANSPORTS } from "./machine.js";
import { type Site, startSite } from "./site.js";

declare const Widecast: typeof Client;

let broker: Broker;
let site: Site;
let browser: Browser;
let context: BrowserContext;
const opened: { close(): void }[] = [];
beforeAll(async () => {
  [broker, site, browser] = await Promise.all([startBroker(), startSite(), startBrowser(["--host-resolver-rules=MAP evil.example 127.0.0.1"])]);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
});
beforeAll(async () => void (context = await browser.newContext()));
afterEach(async () => {
  opened.splice(0).forEach((each) => each.close());
  await context.close();
  context = await browser.newContext();
});

/** Patient, since the machine may be busy; quick to come back. */
const OPTIONS = { bridge: true, connectTimeout: 15_000, minDelay: 50, maxDelay: 300 };

/** One attempt only, for now. */
const ONCE = { transports: ["websocket"] as Client.TransportName[], minDelay: 60_000 };

/** A page of the site that its policy lets connect to nobody but the site. */
function confined(host = "localhost", headers: object = {}): Promise<Page> {
  const all = { "content-security-policy": "connect-src 'self'", ...headers };
  return openPage(context, `http://${host}:${site.port}/machine.html?headers=${encodeURIComponent(JSON.stringify(all))}`);
}

/** Joins a channel through the bridge and keeps what comes. */
async function listen(page: Page, url = broker.url, options: object = OPTIONS): Promise<void> {
  await page.evaluate(
    async ([url, options]) => {
      const connection = Widecast.connect(url, options);
      const channel = new Widecast.WidecastChannel("bridge", { broker: connection });
      const heard: unknown[] = [];
      channel.onmessage = ({ data, origin }) => heard.push([data, origin]);
      const gaps: unknown[] = [];
      channel.addEventListener("gap", () => gaps.push("gap"));
      Object.assign(self, { connection, channel, heard, gaps });
      await channel.ready;
    },
    [url, options] as const,
  );
}

type Listening = { connection: Client.Connection; channel: Client.WidecastChannel; heard: [unknown, string][]; gaps: unknown[] };
const heard = (page: Page) => page.evaluate(() => (self as never as Listening).heard.map(([data]) => data));
const post = (page: Page, data: unknown) => page.evaluate((data) => (self as never as Listening).channel.postMessage(data), data);
const frames = (page: Page) => page.evaluate(() => document.querySelectorAll("iframe").length);
const hears = (page: Page, expected: unknown[]) => expect.poll(() => heard(page), { timeout: 20_000 }).toEqual(expected);
const subscribers = async () => ((await (await fetch(`${broker.url}/channels/bridge`)).json()) as { subscribers: number }).subscribers;

test.each(TRANSPORTS)("all kinds of values travel through the bridge over %s", async (transport) => {
  const direct = await startMachine(browser, site, broker.url);
  const [one, two] = (await Promise.all([confined("localhost"), confined("127.0.0.1")])).map(machineOf) as [Machine, Machine];
  expect(await one.page.evaluate((url) => fetch(`${url}/health/live`).catch(String), broker.url)).toContain("TypeError");
  for (const each of [one, two]) await each.start(broker.url, { ...OPTIONS, transports: [transport] });
  for (const [sender, receiver] of [[one, direct], [direct, two], [two, one]] as const) {
    await receiver.page.evaluate(() => self.compare());
    expect(await sender.page.evaluate(() => self.sendAll())).toBeGreaterThan(150);
    expect(await receiver.page.evaluate(() => self.failures())).toEqual([]);
  }
  expect(await one.status()).toMatchObject({ transport });
  await direct.page.context().close();
});

test("what comes through the bridge has the broker's own origin", async () => {
  const [one, two] = await Promise.all([confined("localhost"), confined("127.0.0.1")]);
  await Promise.all([listen(one), listen(two)]);
  // Two sites in one browser: each has a session of its own.
  expect(await subscribers()).toBe(2);
  await post(one, { at: "the bridge" });
  await hears(two, [{ at: "the bridge" }]);
  expect(await two.evaluate(() => (self as never as Listening).heard[0]![1])).toBe(broker.url);
  expect(await heard(one)).toEqual([]);
});

test("tabs of a site share one frame, and the next tab has one when it is closed", async () => {
  const [one, two] = [await confined(), await confined()];
  await listen(one);
  await listen(two);
  expect([await frames(one), await frames(two), await subscribers()]).toEqual([1, 0, 1]);
  await one.close();
  await broker.publish("bridge", 1);
  await hears(two, [1]);
  expect([await frames(two), await subscribers()]).toEqual([1, 1]);
});

test("closing the connection removes the frame, and ends the session", async () => {
  const page = await confined();
  await listen(page);
  expect([await frames(page), await subscribers()]).toEqual([1, 1]);
  await page.evaluate(() => (self as never as Listening).connection.close());
  expect(await frames(page)).toBe(0);
  await expect.poll(subscribers).toBe(0);
});

test("nothing is lost, doubled or out of order when the frame's connection is cut", async () => {
  const proxy = await Proxy.start(broker.url);
  opened.push(proxy);
  const [one, two] = await Promise.all([confined("localhost"), confined("127.0.0.1")]);
  await Promise.all([listen(one, proxy.url), listen(two, proxy.url)]);
  const all = Array.from({ length: 200 }, (_, i) => i);
  for (const i of all) {
    await post(one, i);
    if (i % 50 === 25) proxy.cut();
  }
  await hears(two, all);
  expect(await two.evaluate(() => (self as never as Listening).gaps)).toEqual([]);
});

test("a broker that starts anew is found again", async () => {
  let own = await startBroker();
  const page = await confined();
  await listen(page, own.url);
  await own.kill();
  await post(page, "while it was away");
  await expect.poll(() => page.evaluate(() => (self as never as Listening).connection.state)).not.toBe("open");
  own = await startBroker({ port: own.port });
  opened.push({ close: () => void own.kill() });
  await expect.poll(() => page.evaluate(() => (self as never as Listening).connection.queued), { timeout: 20_000 }).toBe(0);
  await own.publish("bridge", "after it");
  await hears(page, ["after it"]);
});

test.each(["is removed", "is loaded again"])("the connection comes back when its frame %s", async (what) => {
  const page = await confined();
  await listen(page);
  await page.evaluate(async (what) => {
    const { connection } = self as never as Listening;
    const lost = new Promise<void>((resolve) => connection.addEventListener("status", () => connection.state === "waiting" && resolve()));
    const frame = document.querySelector("iframe")!;
    if (what === "is removed") frame.remove();
    else frame.src += "";
    await lost;
  }, what);
  await broker.publish("bridge", "meanwhile");
  await hears(page, ["meanwhile"]);
  expect(await page.evaluate(() => (self as never as Listening).gaps)).toEqual([]);
  expect([await frames(page), await subscribers()]).toEqual([1, 1]);
});

test("the back/forward cache gets a page without a frame, and back it resumes", async () => {
  const page = await confined();
  await listen(page);
  const turn = (type: string) => page.evaluate((type) => dispatchEvent(new PageTransitionEvent(type, { persisted: true })), type);
  await turn("pagehide");
  expect(await frames(page)).toBe(0);
  await broker.publish("bridge", "meanwhile");
  await turn("pageshow");
  await hears(page, ["meanwhile"]);
});

test("a page that isolates itself may use the bridge", async () => {
  const page = await confined("localhost", { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" });
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  await listen(page);
  await broker.publish("bridge", 1);
  await hears(page, [1]);
});

test("a page in a page of another origin may use the bridge if both are allowed", async () => {
  const outer = await openPage(context, `http://127.0.0.1:${site.port}/`);
  const url = `http://localhost:${site.port}/machine.html`;
  await outer.evaluate((src) => document.body.append(Object.assign(document.createElement("iframe"), { src })), url);
  await expect.poll(() => outer.frames().some((frame) => frame.url() === url)).toBe(true);
  const inner = outer.frames().find((frame) => frame.url() === url) as never as Page;
  await inner.waitForFunction(() => "machine" in self);
  await listen(inner);
  await broker.publish("bridge", 1);
  await hears(inner, [1]);
});

test("a page that is not allowed is told why it gets nothing", async () => {
  const page = await confined("evil.example");
  const reason = await page.evaluate(
    ([url, options]) =>
      new Promise((resolve) => {
        const connection = Widecast.connect(url, options);
        connection.addEventListener("status", (event) => {
          const { state, reason } = (event as CustomEvent).detail;
          if (state === "waiting") resolve(reason);
        });
      }),
    [broker.url, { ...OPTIONS, ...ONCE }] as const,
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

test("the browser shows the bridge in no page but the one it is for", async () => {
  const page = await confined("evil.example");
  const refusal = page.waitForEvent("console", (message) => message.text().includes("frame-ancestors"));
  await trespass(page, `${broker.url}/bridge.html?origin=http://localhost:${site.port}`);
  expect((await refusal).text()).toContain(`http://localhost:${site.port}`);
  expect(await heard(page)).toEqual([]);
});

test("the script takes no port from another page, where a proxy has lost the policy", async () => {
  const proxy = await Proxy.start(broker.url);
  opened.push(proxy);
  proxy.withheld.push("content-security-policy");
  const page = await confined("evil.example");
  const warning = page.waitForEvent("console", (message) => message.type() === "warning");
  const frame = await trespass(page, `${proxy.url}/bridge.html?origin=http://localhost:${site.port}`);
  expect(frame.url()).toContain("/bridge.html");
  expect((await warning).text()).toContain(`a port from a page of http://evil.example:${site.port} was not taken`);
  expect(await heard(page)).toEqual([]);
  expect(proxy.seen).not.toContain("ws");
});

test("the script takes no port from a frame beside it, though it is of the same origin", async () => {
  const page = await confined();
  await listen(page);
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
  const page = await confined();
  const url = `http://127.0.0.1:${(leading.address() as AddressInfo).port}`;
  const states = page.evaluate(
    ([url, options]) =>
      new Promise<string[]>((resolve) => {
        const connection = Widecast.connect(url, options);
        const states: string[] = [];
        connection.addEventListener("status", () => states.push(connection.state) && connection.state === "waiting" && resolve(states));
      }),
    [url, { ...OPTIONS, ...ONCE }] as const,
  );
  await expect.poll(() => page.frames()[1]?.url()).toContain("/thief");
  const frame = page.frames()[1]!;
  // It hears what is sent to it after what the page has sent.
  await page.evaluate(() => self.frames[0]!.postMessage("to anybody", "*"));
  await frame.waitForFunction(() => "taken" in self);
  expect(await frame.evaluate(() => (self as never as { taken: unknown[] }).taken)).toEqual([]);
  expect(await states).not.toContain("open");
});
