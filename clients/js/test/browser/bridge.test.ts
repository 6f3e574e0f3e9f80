/** The bridge at work, in any browser. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { startBroker } from "../broker.js";
import { Proxy } from "../proxy.js";
import { confined, frames, hears, listen, OPTIONS, post, subscribers } from "./bridged.js";
import type { EngineContext } from "./engine.js";
import { type Machine, machineOf, startMachine, TRANSPORTS } from "./machine.js";
import { broker, browser, setStage, site } from "./stage.js";

let context: EngineContext;
const opened: { close(): void }[] = [];
// Runs after what the stage does, which comes later: the last hook is the first to run.
afterEach(() => listeners(0));
setStage();
beforeEach(async () => void (context = await browser.newContext()));
afterEach(async () => {
  opened.splice(0).forEach((each) => each.close());
});

/** Waits until so many sessions listen to the channel. */
const listeners = (count: number): Promise<void> => expect.poll(() => subscribers(broker), { timeout: 40_000 }).toBe(count);

test.each(TRANSPORTS)("all kinds of values travel through the bridge over %s", async (transport) => {
  const direct = await startMachine(browser, site, broker.url);
  const [one, two] = (await Promise.all([confined(context, site, "localhost"), confined(context, site, "127.0.0.1")])).map(
    machineOf,
  ) as [Machine, Machine];
  expect(await one.page.evaluate((url) => fetch(`${url}/health/live`).catch(String), broker.url)).toContain("TypeError");
  for (const each of [one, two]) await each.start(broker.url, { ...OPTIONS, transports: [transport] });
  for (const [sender, receiver] of [
    [one, direct],
    [direct, two],
    [two, one],
  ] as const) {
    await receiver.page.evaluate(() => self.compare());
    expect(await sender.page.evaluate(() => self.sendAll())).toBeGreaterThan(150);
    expect(await receiver.page.evaluate(() => self.failures())).toEqual([]);
  }
  expect(await one.status()).toMatchObject({ transport });
  await direct.page.context().close();
});

test("what comes through the bridge has the broker's own origin", async () => {
  const [one, two] = await Promise.all([confined(context, site, "localhost"), confined(context, site, "127.0.0.1")]);
  await Promise.all([listen(one, broker.url), listen(two, broker.url)]);
  // Two sites in one browser: each has a session of its own.
  await listeners(2);
  await post(one, { at: "the bridge" });
  await hears(two, [{ at: "the bridge" }]);
  expect(await two.evaluate(() => self.listening.heard[0]!.origin)).toBe(broker.url);
  await hears(one, []);
});

test("tabs of a site share one frame, and the next tab has one when it is left", async () => {
  const [one, two] = [await confined(context, site), await confined(context, site)];
  await listen(one, broker.url);
  await listen(two, broker.url);
  expect([await frames(one), await frames(two)]).toEqual([1, 0]);
  await listeners(1);
  await one.goto("about:blank");
  await broker.publish("bridge", 1);
  await hears(two, [1]);
  expect(await frames(two)).toBe(1);
  await listeners(1);
});

test("a message of a megabyte gets through, both ways", async () => {
  const [one, two] = await Promise.all([confined(context, site, "localhost"), confined(context, site, "127.0.0.1")]);
  await Promise.all([listen(one, broker.url), listen(two, broker.url)]);
  const large = "x".repeat(1_000_000);
  await post(one, large);
  await post(two, large);
  await hears(two, [large]);
  await hears(one, [large]);
});

test("closing the connection removes the frame, and ends the session", async () => {
  const page = await confined(context, site);
  await listen(page, broker.url);
  expect(await frames(page)).toBe(1);
  await listeners(1);
  await page.evaluate(() => self.listening.connection.close());
  expect(await frames(page)).toBe(0);
  await listeners(0);
});

test("an upload goes through a frame of its own, and tells how much of it has left", async () => {
  const [one, two] = await Promise.all([confined(context, site, "localhost"), confined(context, site, "127.0.0.1")]);
  await Promise.all([listen(one, broker.url), listen(two, broker.url)]);
  const told = await one.evaluate(async () => {
    const told: unknown[] = [];
    const onprogress = (event: ProgressEvent): unknown =>
      told.push([event instanceof ProgressEvent, event.loaded <= event.total]);
    const receipt = await self.listening.channel.upload(new Blob([crypto.getRandomValues(new Uint8Array(65_536))]), {
      onprogress,
    });
    return [[...new Set(told.map(String))], typeof receipt.offset];
  });
  expect(told).toEqual([["true,true"], "number"]);
  expect(await frames(one)).toBe(1);
  await expect
    .poll(() => two.evaluate(() => self.listening.heard.map(({ data }) => (data as Blob).size)), { timeout: 20_000 })
    .toEqual([65_536]);
});

test("an upload through a frame is given up, and one that the broker refuses says why", async () => {
  const page = await confined(context, site);
  await listen(page, broker.url);
  const failures = await page.evaluate(async () => {
    const { channel } = self.listening;
    const failure = (error: Error & { code?: string }): unknown => [error.name, error.code];
    const stop = new AbortController();
    const given = channel.upload("never heard", { signal: stop.signal }).catch(failure);
    stop.abort();
    const late = channel.upload("too late", { timeout: 0.001 }).catch(failure);
    const refused = channel.upload("x", { event: "not a\nname" }).catch(failure);
    return Promise.all([given, late, refused]);
  });
  expect(failures).toEqual([
    ["AbortError", DOMException.ABORT_ERR],
    ["WidecastError", "timeout"],
    ["WidecastError", "bad_event_name"],
  ]);
  expect(await frames(page)).toBe(1);
});

test("nothing is lost, doubled or out of order when the frame's connection is cut", async () => {
  const proxy = await Proxy.start(broker.url);
  opened.push(proxy);
  const [one, two] = await Promise.all([confined(context, site, "localhost"), confined(context, site, "127.0.0.1")]);
  await Promise.all([listen(one, proxy.url), listen(two, proxy.url)]);
  const all = Array.from({ length: 200 }, (_, i) => i);
  proxy.cutAfter = [3000, 3000, 3000, 3000];
  await one.evaluate(async (all) => {
    for (const i of all) {
      self.listening.channel.postMessage(i);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }, all);
  await hears(two, all);
  expect(proxy.cutAfter).toEqual([]);
});

test("a broker that starts anew is found again", async () => {
  let own = await startBroker();
  const page = await confined(context, site);
  await listen(page, own.url);
  await own.kill();
  await post(page, "while it was away");
  await expect.poll(() => page.evaluate(() => self.listening.connection.state)).not.toBe("open");
  own = await startBroker({ port: own.port });
  opened.push({ close: () => void own.kill() });
  await expect.poll(() => page.evaluate(() => self.listening.connection.queued), { timeout: 20_000 }).toBe(0);
  await own.publish("bridge", "after it");
  // Its history went with it.
  await hears(page, ["after it"], 1);
});

test.each(["is removed", "is loaded again"])("the connection comes back when its frame %s", async (what) => {
  const page = await confined(context, site);
  await listen(page, broker.url);
  await page.evaluate(async (what) => {
    const { connection } = self.listening;
    const lost = new Promise<void>((resolve) =>
      connection.addEventListener("status", () => connection.state === "waiting" && resolve()),
    );
    const frame = document.querySelector("iframe")!;
    if (what === "is removed") frame.remove();
    else frame.src += "";
    await lost;
  }, what);
  await broker.publish("bridge", "meanwhile");
  await hears(page, ["meanwhile"]);
  expect(await frames(page)).toBe(1);
  await listeners(1);
});

test("the back/forward cache gets a page without a frame, and back it resumes", async () => {
  const page = await confined(context, site);
  await listen(page, broker.url);
  const turn = (type: string) => page.evaluate((type) => dispatchEvent(new PageTransitionEvent(type, { persisted: true })), type);
  await turn("pagehide");
  expect(await frames(page)).toBe(0);
  await broker.publish("bridge", "meanwhile");
  await turn("pageshow");
  await hears(page, ["meanwhile"]);
});

test("a page that isolates itself may use the bridge", async () => {
  const page = await confined(context, site, "localhost", {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  });
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  await listen(page, broker.url);
  await broker.publish("bridge", 1);
  await hears(page, [1]);
});
