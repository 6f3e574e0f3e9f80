/** A foreign name that was pointed at this machine: a page below it is of the broker's own origin to the browser. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { openPage, startBrowser } from "./browser.js";

let broker: Broker;
let browser: Browser;
beforeAll(async () => {
  [broker, browser] = await Promise.all([startBroker(), startBrowser(["--host-resolver-rules=MAP evil.example 127.0.0.1"])]);
});
afterAll(async () => {
  await browser?.close();
  await broker?.kill();
});

test("a page of a foreign name reads nothing from a broker on loopback", async () => {
  await broker.publish("secret", "of this machine");
  const paths = [
    "/channels/secret/messages",
    "/channels/secret/sse",
    "/channels/secret/stream",
    "/v1/poll?session=new",
    "/metrics",
    "/bridge.html",
  ];
  const read = async (host: string) => {
    const page = await openPage(browser, `http://${host}:${broker.port}/health/live`);
    return page.evaluate((paths) => Promise.all(paths.map(async (path) => (await fetch(path)).status)), paths);
  };
  expect(await read("localhost")).toEqual(paths.map(() => 200));
  expect(await read("evil.example")).toEqual(paths.map(() => 403));
});
