/** Pages as people write them, without the client, each with only its URL changed: what they have always relied on holds. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { openPage } from "./browser.js";
import type { EnginePage } from "./engine.js";
import { broker, browser, setStage, site } from "./stage.js";

setStage({ settings: { WIDECAST_NAMESPACE_DEFAULT_IMAGE_PING: "true" } });

/** One pixel. */
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

async function open(name: string, { to = broker, hash = "" } = {}): Promise<EnginePage> {
  const context = await browser.newContext();
  return openPage(context, `http://localhost:${site.port}/written/${name}.html?server=127.0.0.1:${to.port}#${hash}`);
}

const lines = (page: EnginePage): Promise<string[]> =>
  page.evaluate(() => [...document.querySelectorAll("#log li")].map((line) => line.textContent!));

/** What the page has logged, once it is so many lines. */
async function logged(page: EnginePage, count: number): Promise<string[]> {
  await expect.poll(async () => (await lines(page)).length).toBeGreaterThanOrEqual(count);
  return lines(page);
}

/** Runs what somebody would type into the page's console. */
// biome-ignore lint/security/noGlobalEval: it runs what a developer types into the console.
const run = (page: EnginePage, code: string): Promise<void> => page.evaluate((code) => void (0, eval)(code), code);

/** The data of the channel's messages so far. */
async function published(channel: string, to: Broker = broker): Promise<unknown[]> {
  const answer = (await (await fetch(`${to.url}/channels/${channel}/messages`)).json()) as { messages: { data: unknown }[] };
  return answer.messages.map(({ data }) => data);
}

/** Waits until so many subscribe. */
const subscribers = (channel: string, count: number): Promise<void> =>
  expect
    .poll(async () => ((await (await fetch(`${broker.url}/channels/${channel}`)).json()) as { subscribers: number }).subscribers)
    .toBe(count);

test("a chat of JSON over a WebSocket with a subprotocol: all others hear objects", async () => {
  const [ann, bob] = [await open("chat", { hash: "Ann" }), await open("chat", { hash: "Bob" })];
  await Promise.all([logged(ann, 1), logged(bob, 1)]);
  const say = (page: EnginePage, text: string): Promise<void> =>
    page.evaluate((text) => {
      document.querySelector("input")!.value = text;
      document.querySelector("form")!.requestSubmit();
    }, text);
  await say(ann, "hello");
  expect(await logged(bob, 2)).toEqual(["open", "Ann: hello"]);
  await say(bob, "hi Ann");
  expect(await logged(ann, 2)).toEqual(["open", "Bob: hi Ann"]);
  expect(await published("chat")).toMatchObject([
    { type: "chat", from: "Ann", text: "hello" },
    { type: "chat", from: "Bob", text: "hi Ann" },
  ]);
});

test("a heartbeat of its own is answered, and heard by nobody else", async () => {
  const [one, other] = [await open("heartbeat"), await open("heartbeat")];
  const [first, second] = await Promise.all([logged(one, 4), logged(other, 4)]);
  expect(new Set([...first.slice(1), ...second.slice(1)])).toEqual(new Set(["pong"]));
  expect(await published("heartbeat")).toEqual([]);
});

test("a batch is as many messages, in their order", async () => {
  const listener = await open("stream");
  await subscribers("stream", 1);
  const page = await open("batcher");
  await logged(page, 1);
  await expect.poll(() => published("batcher")).toEqual(Array.from({ length: 25 }, (_, number) => ({ type: "move", number })));
  expect(await lines(page)).toEqual(["open"]);
  expect(await lines(listener)).toEqual([]);
});

test("what is posted compressed arrives as it was", async () => {
  expect(await logged(await open("gzip"), 1)).toEqual(["200"]);
  expect(await published("gzip")).toEqual([{ text: "x".repeat(100_000) }]);
});

test("a pool of WebSockets publishes each message once", async () => {
  await logged(await open("pool"), 1);
  await expect.poll(async () => (await published("pool")).length).toBe(20);
  const numbers = (await published("pool")).map((message) => (message as { number: number }).number);
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, number) => number));
});

test("a token is told to nobody, and the page is told why", async () => {
  const page = await open("auth");
  expect(await logged(page, 1)).toEqual(["unauthorized"]);
  await expect.poll(() => published("auth")).toEqual([{ type: "chat", text: "without a token then" }]);
});

test.each(["stream", "poll", "jsonp"])("a client that reads by %s hears each message once", async (name) => {
  await subscribers(name, 0); // that of a test before has left
  const page = await open(name);
  await subscribers(name, 1);
  const said = Array.from({ length: 10 }, (_, number) => `message ${number}`);
  for (const text of said) await broker.publish(name, text);
  expect(await logged(page, said.length)).toEqual(said);
});

test("an image ping publishes its query", async () => {
  expect(await logged(await open("ping"), 1)).toEqual(["sent"]);
  expect(await published("ping")).toEqual([{ page: "/written/ping.html", action: "view" }]);
});

test("a form with a file is sent with progress, and a picture comes back as what it is", async () => {
  const page = await open("form");
  await page.evaluate(() => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(300_000)], "large.bin", { type: "application/x-large" }));
    document.querySelector<HTMLInputElement>("#file")!.files = files.files;
  });
  await run(page, "upload()");
  expect(await logged(page, 1)).toEqual(["uploaded 200"]);
  expect(await page.evaluate(() => document.querySelector("progress")!.value)).toBe(100);
  expect(await published("form")).toMatchObject([
    { title: "A picture", file: { $type: "File", value: { name: "large.bin", type: "application/x-large" } } },
  ]);
  await fetch(`${broker.url}/channels/pictures/messages`, {
    method: "POST",
    headers: { "content-type": "image/png" },
    body: Buffer.from(PNG, "base64"),
  });
  await run(page, "show(1)");
  expect(await logged(page, 3)).toEqual(["uploaded 200", `200 image/png ${Buffer.from(PNG, "base64").length}`, "shown 1"]);
});

test("a page that keeps its cursor misses nothing while it is away, and is told of what is gone", async () => {
  const page = await open("resume");
  await logged(page, 1);
  await broker.publish("resume", "one");
  await logged(page, 2);
  await run(page, "socket.close()");
  await logged(page, 3);
  await broker.publish("resume", "two");
  await run(page, "connect()");
  await logged(page, 5);
  await broker.publish("resume", "three");
  expect(await logged(page, 6)).toEqual(["open", "resume 1 one", "closed", "open", "resume 2 two", "resume 3 three"]);
  // The end of the old connection may be told after the gap of the new one.
  await run(page, "socket.close(); cursor = '0-1'; connect()");
  await expect.poll(() => lines(page), { timeout: 15_000 }).toContain("gap");
});

let restarted: Broker;

beforeAll(async () => {
  restarted = await startBroker({ settings: { WIDECAST_SHUTDOWN_RAW_CLOSE_FRAME: "false" } });
});
afterAll(() => restarted?.kill());

test("a class that reconnects after unclean closes only outlives a restart of the broker", async () => {
  const page = await open("reconnect", { to: restarted });
  await logged(page, 1);
  const { port } = restarted;
  await restarted.terminate();
  await expect.poll(async () => (await lines(page)).includes("lost")).toBe(true);
  await run(page, `socket.send(JSON.stringify({ text: "sent while away" }))`);
  restarted = await startBroker({ port, settings: { WIDECAST_SHUTDOWN_RAW_CLOSE_FRAME: "false" } });
  await expect.poll(() => published("reconnect", restarted)).toEqual([{ text: "sent while away" }]);
  await restarted.publish("reconnect", { text: "welcome back" });
  await expect.poll(async () => (await lines(page)).at(-1)).toBe("welcome back");
});
