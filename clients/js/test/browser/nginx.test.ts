/** Chromium and the broker with a real nginx between them: its default buffering, its default timeouts, its reloads. */
import { readFile } from "node:fs/promises";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { TransportName } from "../../src/transports/index.js";
import { type Broker, startBroker } from "../broker.js";
import { type Http, Nginx, passTo, UPGRADE } from "../nginx.js";
import { startBrowser } from "./browser.js";
import { type Machine, posts, startMachine, TRANSPORTS } from "./machine.js";
import { type Site, startSite } from "./site.js";

/** nginx gives up a connection on which nothing came from the broker for so long. */
const PROXY_READ_TIMEOUT = 60_000;

let site: Site;
let browser: Browser;
let broker: Broker;
let nginx: Nginx;
let idle: Machine[];
let idleSince: number;
const opened: Machine[] = [];
beforeAll(async () => {
  [site, browser, broker] = await Promise.all([startSite(), startBrowser(), startBroker()]);
  nginx = await Nginx.start(passTo(broker.url, UPGRADE));
  // They have to be idle for more than a minute: in the meantime there are other tests.
  idle = await Promise.all(TRANSPORTS.map((transport) => joined(nginx.url, "idle", { transports: [transport] })));
  opened.length = 0;
  idleSince = Date.now();
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await nginx?.close();
  await broker?.kill();
});
afterEach(async () => {
  for (const { page } of opened.splice(0)) await page.context().close();
});

async function joined(url: string, channel: string, options: object = {}, pages: { port: number } = site): Promise<Machine> {
  const machine = await startMachine(browser, pages, url, { minDelay: 50, maxDelay: 200, ...options });
  opened.push(machine);
  await machine.join(channel);
  return machine;
}

/** The configuration that docs/deployment.md gives, without its TLS. */
async function documented(): Promise<Http> {
  const text = await readFile(new URL("../../../../docs/deployment.md", import.meta.url), "utf8");
  const block = /```nginx\n(.*?)```/s.exec(text)![1]!;
  const [listen, address] = ["listen 443 ssl http2;", "127.0.0.1:8080"];
  for (const part of [listen, address]) expect(block).toContain(part);
  return (port) => block.replace(address, new URL(broker.url).host).replace(listen, `listen 127.0.0.1:${port};`);
}

test.each<[string, () => Http | Promise<Http>, TransportName, number]>([
  ["as the documentation has it", documented, "websocket", 2000],
  ["that knows nothing of WebSockets", () => passTo(broker.url), "sse", 2000],
  // The event stream and the HTTP stream are given up after 4 s each.
  ["that buffers whatever the broker says", () => passTo(broker.url, "proxy_ignore_headers X-Accel-Buffering;"), "poll", 8000],
])("an nginx %s", async (_, http, transport, patience) => {
  const own = await Nginx.start(await http());
  try {
    const [one, other] = await Promise.all([joined(own.url, transport), joined(broker.url, transport)]);
    const states = await one.states();
    expect(states.at(-1)).toMatchObject({ state: "open", transport });
    expect(states.at(-1)!.at - states[0]!.at).toBeLessThan(patience + 3000);
    await Promise.all([one.post("one", 100, { padding: 3000 }), other.post("other", 100, { padding: 3000 })]);
    expect(await one.heard(100)).toEqual(posts("other", 100));
    expect(await other.heard(100)).toEqual(posts("one", 100));
    expect(await one.status()).toMatchObject({ transport, gaps: 0 });
  } finally {
    await own.close();
  }
});

test.each(["sse", "poll"])("what is too large for nginx holds up nothing else over %s", async (transport) => {
  // Both the pages and the broker: the page of another origin is not told what nginx answers.
  const own = await Nginx.start(
    (port) => `server {
      listen 127.0.0.1:${port};
      client_max_body_size 64k;
      location / { proxy_pass http://127.0.0.1:${site.port}; }
      location /v1/ { proxy_pass ${broker.url}; }
    }`,
  );
  try {
    const channel = `large ${transport}`;
    const [one, other] = await Promise.all([
      joined(`http://localhost:${own.port}`, channel, { transports: [transport], compress: false }, own),
      joined(broker.url, channel),
    ]);
    await one.post("one", 1, { padding: 100_000 });
    // In one go, and too large only together.
    await one.post("one", 50, { first: 1, padding: 3000 });
    expect(await other.heard(50)).toEqual(posts("one", 51).slice(1));
    expect(await one.status()).toMatchObject({ state: "open", queued: 0 });
    expect((await one.states()).filter(({ state }) => state === "waiting")).toEqual([]);
  } finally {
    await own.close();
  }
});

test("an nginx that is reloaded, stopped and started again loses nothing", async () => {
  const own = await Nginx.start(passTo(broker.url, UPGRADE));
  try {
    const behind = TRANSPORTS.map((transport) => joined(own.url, "reload", { transports: [transport] }));
    const machines = await Promise.all([...behind, joined(broker.url, "reload")]);
    // All of them together are fewer than the history holds.
    const posting = machines.map((machine, index) => machine.post(`${index}`, 40, { every: 80 }));
    await own.reload();
    await own.stop();
    await own.start();
    await Promise.all(posting);
    for (const [index, machine] of machines.entries()) {
      await machine.until({ queued: 0 });
      const others = machines.flatMap((_, other) => (other === index ? [] : [`${other}`]));
      const heard = await machine.heard(40 * others.length);
      expect(heard.length).toBe(40 * others.length);
      for (const from of others) expect(heard.filter((message) => message.startsWith(`${from} `))).toEqual(posts(from, 40));
      expect(await machine.status()).toMatchObject({ gaps: 0 });
      const cuts = (await machine.states()).filter(({ state }) => state === "waiting");
      if (index < TRANSPORTS.length) expect(cuts).not.toEqual([]);
    }
  } finally {
    await own.close();
  }
});

test("a connection may be idle for longer than nginx waits", { timeout: PROXY_READ_TIMEOUT + 60_000 }, async () => {
  const rest = idleSince + PROXY_READ_TIMEOUT + 5000 - Date.now();
  await new Promise((resolve) => setTimeout(resolve, rest));
  for (const [index, machine] of idle.entries()) {
    // Nothing has happened since the connection was opened.
    const opened = (await machine.states()).filter(({ state }) => state === "open");
    expect(opened).toEqual([expect.objectContaining({ transport: TRANSPORTS[index] })]);
    expect(await machine.status()).toMatchObject({ state: "open", transport: TRANSPORTS[index] });
  }
  await Promise.all(idle.map((machine, index) => machine.post(TRANSPORTS[index]!, 3)));
  for (const [index, machine] of idle.entries()) {
    const heard = await machine.heard(3 * (idle.length - 1));
    expect(heard.toSorted()).toEqual(TRANSPORTS.filter((_, other) => other !== index).flatMap((name) => posts(name, 3)).toSorted());
  }
});
