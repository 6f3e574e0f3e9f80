/** Pages that a broker refuses, and servers that are no broker. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { startBrowser } from "./browser.js";
import { type Site, startSite } from "./site.js";

let broker: Broker;
let site: Site;
let browser: Browser;
let directory: string;
beforeAll(async () => {
  const starting = startBrowser(["--host-resolver-rules=MAP evil.example 127.0.0.1"]);
  [broker, site, browser, directory] = await Promise.all([
    startBroker(),
    startSite(),
    starting,
    mkdtemp(`${tmpdir()}/widecast-file-`),
  ]);
  await writeFile(`${directory}/page.html`, `<!doctype html><script src="${broker.url}/client/widecast.iife.js"></script>`);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
  await rm(directory, { recursive: true });
});

/** Opens a page, and what its console says from then on. */
async function open(url: string): Promise<{ page: Page; said: string[] }> {
  const page = await browser.newPage();
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.goto(url);
  return { page, said };
}

/** What becomes of a channel, after some seconds in which it could have tried again. */
const outcome = (
  page: Page,
  url: string,
): Promise<{ code: string; message: string; state: string | undefined; reasons: string[] }> =>
  page.evaluate(async (broker) => {
    const { WidecastChannel } = (self as unknown as { Widecast: typeof import("../../src/index.js") }).Widecast;
    const channel = new WidecastChannel("news", broker ? { broker } : {});
    const reasons: string[] = [];
    channel.addEventListener("status", ({ detail: { reason } }) => reasons.push(reason));
    const { code, message } = await channel.ready.then(
      () => ({ code: "ready", message: "" }),
      (error) => error,
    );
    await new Promise((resolve) => setTimeout(resolve, 3000));
    return { code, message, state: channel.connection?.state, reasons };
  }, url);

test.each([
  ["another site", () => `http://evil.example:${site.port}/page.html?kind=the+script`],
  ["a file", () => `file://${directory}/page.html`],
])("a page of %s that is not allowed hears why, once", async (_, url) => {
  const { page, said } = await open(url());
  await page.addScriptTag({ url: `${broker.url}/client/widecast.iife.js` });
  const { code, message, state, reasons } = await outcome(page, broker.url);
  expect([code, state]).toEqual(["origin_not_allowed", "closed"]);
  expect(message).toContain("server.allowed_origins does not list it");
  expect(reasons.filter((reason) => reason.includes("server.allowed_origins does not list it"))).not.toEqual([]);
  // The browser's own lines: of the socket, the event stream and the request that told.
  expect(said.length).toBeLessThanOrEqual(4);
});

test("no script is asked of a server that is no broker", async () => {
  const { page, said } = await open(`http://localhost:${site.port}/`);
  await page.addScriptTag({ url: `${broker.url}/client/widecast.iife.js` });
  const asked = await page.evaluate(async () => {
    const { connect } = (self as unknown as { Widecast: typeof import("../../src/index.js") }).Widecast;
    const connection = connect(location.origin, { maxAttempts: 0, share: false });
    const told = await new Promise<string>((resolve) =>
      connection.addEventListener("status", ({ detail }) => detail.state === "closed" && resolve(detail.reason)),
    );
    return {
      told,
      scripts: performance
        .getEntriesByType("resource")
        .map(({ name }) => name)
        .filter((name) => name.includes("callback=")),
    };
  });
  expect(asked.told).toContain("GET was answered 404");
  expect(asked.scripts).toEqual([]);
  expect(said.filter((line) => line.includes("SyntaxError"))).toEqual([]);
});
