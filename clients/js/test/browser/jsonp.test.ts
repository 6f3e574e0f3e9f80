/** Pages that can load nothing but scripts, as a Content-Security-Policy has it. */
import { expect, test } from "vitest";
import type { WidecastChannel } from "../../src/channel.js";
import { startBroker } from "../broker.js";
import { Proxy } from "../proxy.js";
import { openPage } from "./browser.js";
import { type Machine, machineOf, posts, startMachine } from "./machine.js";
import { broker, browser, setStage, site } from "./stage.js";

const SCRIPTS_ONLY = encodeURIComponent(JSON.stringify({ "content-security-policy": "connect-src 'none'" }));

setStage();

async function restricted(broker: string, options: object = {}): Promise<Machine> {
  const page = await openPage(await browser.newContext(), `http://localhost:${site.port}/machine.html?headers=${SCRIPTS_ONLY}`);
  const machine = machineOf(page);
  await machine.start(broker, options);
  return machine;
}

test("where the page's policy allows nothing else, messages go by scripts, of which none stays", async () => {
  const [one, other] = [await restricted(broker.url), await startMachine(browser, site, broker.url)];
  await Promise.all([one.join("news"), other.join("news")]);
  expect(await one.status()).toMatchObject({ transport: "jsonp" });
  // More than fits into one URL.
  await Promise.all([one.post("one", 50, { padding: 1000 }), other.post("other", 50, { padding: 10_000 })]);
  expect(await other.heard(50)).toEqual(posts("one", 50));
  expect(await one.heard(50)).toEqual(posts("other", 50));
  const left = (): Promise<number[]> =>
    one.page.evaluate(() => [
      document.querySelectorAll("script[src*=callback]").length,
      Object.keys(self).filter((name) => name.startsWith("widecast_")).length,
    ]);
  // The poll that waits, and nothing else, when the last post is answered.
  await expect.poll(left).toEqual([1, 1]);
});

test("scripts that wait for messages do not keep a page from being loaded", async () => {
  // Waits for the page's load event, which comes after a second by itself, and after 25 behind a poll.
  const began = Date.now();
  const page = await openPage(
    await browser.newContext(),
    `http://localhost:${site.port}/early.html?broker=${encodeURIComponent(broker.url)}`,
  );
  expect(Date.now() - began).toBeLessThan(24_000);
  await page.evaluate(() => (self as never as { channel: WidecastChannel }).channel.ready);
});

test("a message that fits into no URL is refused, on this transport only", async () => {
  const [one, other] = [await restricted(broker.url), await startMachine(browser, site, broker.url)];
  expect(await one.publish("sizes", "x".repeat(5000))).toBe("published");
  expect(await one.publish("sizes", "x".repeat(5200))).toBe("WidecastError: the message has 5203 bytes, jsonp carries 5120");
  expect(await other.publish("sizes", "x".repeat(5200))).toBe("published");
});

test("a broker that refuses a script is not asked before the time that it names", async () => {
  const proxy = await Proxy.start(broker.url);
  try {
    proxy.manners["jsonp"] = "busy";
    const machine = await restricted(proxy.url, { transports: ["jsonp"], minDelay: 50, maxDelay: 200 });
    const joined = machine.join("news");
    await machine.until({ state: "waiting" });
    delete proxy.manners["jsonp"];
    await joined;
    const states = await machine.states();
    const waiting = states.findIndex(({ state }) => state === "waiting");
    expect(states[waiting]!.reason).toContain("overloaded: Retry-After: 1 ");
    expect(states[waiting + 1]!.at - states[waiting]!.at).toBeGreaterThanOrEqual(990);
  } finally {
    proxy.close();
  }
});

test("a broker that does not allow it says so in the status", async () => {
  // The demos have a namespace that allows it.
  const closed = await startBroker({ settings: { WIDECAST_NAMESPACE_DEFAULT_JSONP: "false", WIDECAST_SERVER_DEMOS: "false" } });
  try {
    const machine = await restricted(closed.url);
    await machine.until({ state: "waiting" });
    // It may have begun anew meanwhile.
    const { reason } = (await machine.states()).find(({ state }) => state === "waiting")!;
    expect(reason).toContain("jsonp: Error: forbidden: no namespace allows JSONP (namespace.….jsonp)");
    expect(reason).toContain("websocket: ");
  } finally {
    await closed.kill();
  }
});

test("what its namespace does not allow is refused to the channel, and the others go on", async () => {
  const mixed = await startBroker({
    settings: { WIDECAST_NAMESPACE_DEFAULT_JSONP: "false", WIDECAST_NAMESPACE_OPEN_JSONP: "true" },
  });
  try {
    const [one, other] = [await restricted(mixed.url), await startMachine(browser, site, mixed.url)];
    expect(await one.join("closed").catch(String)).toContain("does not allow JSONP");
    await Promise.all([one.join("open:news"), other.join("open:news")]);
    await other.post("other", 3);
    expect(await one.heard(3)).toEqual(posts("other", 3));
  } finally {
    await mixed.kill();
  }
});
