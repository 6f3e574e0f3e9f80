/** Chromium and the broker with a real nginx between them: its default buffering, its default timeouts, its reloads. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { TransportName } from "../../src/transports/index.js";
import { type Broker, startBroker } from "../broker.js";
import { type Http, Nginx, passTo, UPGRADE } from "../nginx.js";
import { startBrowser } from "./browser.js";
import type { EngineBrowser, EngineContext } from "./engine.js";
import { type Machine, posts, startMachine, TRANSPORTS } from "./machine.js";
import { type Site, startSite } from "./site.js";

/** For machines that are not to wait once: a busy machine may take longer than what is patience enough otherwise. */
const UNHURRIED = { connectTimeout: 20_000, replyTimeout: 20_000 };

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
  idle = await Promise.all(TRANSPORTS.map((transport) => joined(nginx.url, "idle", { ...UNHURRIED, transports: [transport] })));
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

async function joined(
  url: string,
  channel: string,
  options: object = {},
  where: EngineBrowser | EngineContext = browser,
  pages: { port: number } = site,
): Promise<Machine> {
  const machine = await startMachine(where, pages, url, { minDelay: 50, maxDelay: 200, ...options });
  opened.push(machine);
  await machine.join(channel);
  return machine;
}

test.each<[string, () => Http, TransportName, number]>([
  ["that knows nothing of WebSockets", () => passTo(broker.url), "sse", 2000],
  // The event stream and the HTTP stream are given up after 4 s each.
  ["that buffers whatever the broker says", () => passTo(broker.url, "proxy_ignore_headers X-Accel-Buffering;"), "poll", 8000],
])("an nginx %s", async (_, http, transport, patience) => {
  const own = await Nginx.start(http());
  try {
    const [one, other] = await Promise.all([joined(own.url, transport), joined(broker.url, transport)]);
    const states = await one.states();
    expect(states.at(-1)).toMatchObject({ state: "open", transport });
    expect(states.at(-1)!.at - states[0]!.at).toBeLessThan(patience + 15_000);
    await Promise.all([one.post("one", 100, { padding: 3000 }), other.post("other", 100, { padding: 3000 })]);
    expect(await one.heard(100)).toEqual(posts("other", 100));
    expect(await other.heard(100)).toEqual(posts("one", 100));
    expect(await one.status()).toMatchObject({ transport, gaps: 0 });
  } finally {
    await own.close();
  }
});

/** The configuration that docs/deployment.md gives, with a certificate that nobody trusts. */
const documented: Http = async (port, directory) => {
  const [key, certificate] = [`${directory}/key.pem`, `${directory}/certificate.pem`];
  const signed = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate];
  await promisify(execFile)("openssl", ["req", ...signed]);
  const text = await readFile(new URL("../../../../docs/deployment.md", import.meta.url), "utf8");
  const blanks = {
    "127.0.0.1:8080": new URL(broker.url).host,
    "listen 443": `listen 127.0.0.1:${port}`,
    "# ssl_certificate …": `ssl_certificate ${certificate}; ssl_certificate_key ${key};`,
  };
  return Object.entries(blanks).reduce(
    (block, [blank, value]) => {
      expect(block).toContain(blank);
      return block.replace(blank, value);
    },
    /```nginx\n(.*?)```/s.exec(text)![1]!,
  );
};

test("an nginx as the documentation has it carries every transport over TLS and HTTP/2", async () => {
  const own = await Nginx.start(documented);
  try {
    const behind = TRANSPORTS.map(async (transport) => {
      const profile = await browser.newContext({ ignoreHTTPSErrors: true });
      return joined(`https://localhost:${own.port}`, "tls", { ...UNHURRIED, transports: [transport] }, profile);
    });
    const machines = await Promise.all([...behind, joined(broker.url, "tls", UNHURRIED)]);
    const page = machines[TRANSPORTS.indexOf("sse")]!.page as Page;
    const session = await page.context().newCDPSession(page);
    const protocols = new Set<string | undefined>();
    session.on("Network.responseReceived", ({ response }) => protocols.add(response.protocol));
    await session.send("Network.enable");
    await Promise.all(machines.map((machine, index) => machine.post(`${index}`, 20, { padding: 3000 })));
    for (const [index, machine] of machines.entries()) {
      const heard = await machine.heard(20 * TRANSPORTS.length);
      expect(heard.length).toBe(20 * TRANSPORTS.length);
      for (const other of machines.keys()) {
        if (other !== index) expect(heard.filter((message) => message.startsWith(`${other} `))).toEqual(posts(`${other}`, 20));
      }
      expect((await machine.states()).filter(({ state }) => state === "waiting")).toEqual([]);
    }
    expect([...protocols]).toEqual(["h2"]);
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
      joined(`http://localhost:${own.port}`, channel, { ...UNHURRIED, transports: [transport], compress: false }, browser, own),
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
      // A poll that is cut the browser itself may ask again.
      if (["websocket", "sse", "stream"].includes(TRANSPORTS[index]!)) expect(cuts).not.toEqual([]);
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
    expect(heard.toSorted()).toEqual(
      TRANSPORTS.filter((_, other) => other !== index)
        .flatMap((name) => posts(name, 3))
        .toSorted(),
    );
  }
});
