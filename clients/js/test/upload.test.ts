/** Uploads from Node, where there is no XMLHttpRequest, to a real broker. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WidecastChannel } from "../src/channel.js";
import type { ConnectionOptions } from "../src/api.js";
import type { Connection } from "../src/connection.js";
import { type Broker, startBroker } from "./broker.js";
import { Ear } from "./heard.js";
import { endAll, openMachine, untilTheEnd } from "./machines.js";

let broker: Broker;
beforeAll(async () => void (broker = await startBroker({ settings: { WIDECAST_LIMITS_MESSAGE_BYTES: "1000000" } })));
afterAll(() => broker.kill());
afterEach(endAll);

let names = 0;
const machine = (url = broker.url, options: ConnectionOptions = {}): Connection => openMachine(url, options);

/** Two channels of two machines, and a second one of the first machine. */
async function three(): Promise<[one: WidecastChannel, beside: WidecastChannel, other: WidecastChannel]> {
  const name = `upload-${process.pid}-${++names}`;
  const own = machine();
  const channels = [own, own, machine()].map((broker) => new WidecastChannel(name, { broker })) as [
    WidecastChannel,
    WidecastChannel,
    WidecastChannel,
  ];
  await Promise.all(channels.map(({ ready }) => ready));
  return channels;
}

/** An HTTP server that is no broker. */
async function server(listener: Parameters<typeof createServer>[1]): Promise<string> {
  const server: Server = createServer(listener!).listen(0, "127.0.0.1");
  untilTheEnd({ close: () => (server.closeAllConnections(), server.close()) });
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a File arrives as a File, a Blob as a Blob, and nobody hears it twice or back", async () => {
  const [one, beside, other] = await three();
  const [own, near, far] = [one, beside, other].map((channel) => new Ear(channel));
  const file = new File(["text of the file"], "ä.txt", { type: "text/plain", lastModified: 7 });
  expect(await one.upload(file)).toMatchObject({ offset: 1, epoch: expect.any(String) });
  expect(await one.upload(new Blob([new Uint8Array([0, 255])], { type: "image/png" }))).toMatchObject({ offset: 2 });
  expect(await one.upload({ note: new Date(1), list: [undefined] })).toMatchObject({ offset: 3 });
  for (const ear of [near!, far!]) {
    const [first, second, third] = (await ear.until(3)) as [File, Blob, unknown];
    expect(first).toBeInstanceOf(File);
    expect([first.name, first.type, first.lastModified, await first.text()]).toEqual([
      "ä.txt",
      "text/plain",
      7,
      "text of the file",
    ]);
    expect([second.constructor, second.type, [...new Uint8Array(await second.arrayBuffer())]]).toEqual([
      Blob,
      "image/png",
      [0, 255],
    ]);
    expect(third).toEqual({ note: new Date(1), list: [undefined] });
  }
  await other.publish("last");
  expect(await own!.until(1)).toEqual(["last"]);
  expect([near!.data.length, far!.data.length]).toEqual([4, 3]);
});

test("a form arrives as an object of texts and files, named by an event", async () => {
  const [one, , other] = await three();
  const ear = new Ear(other, "form");
  const form = new FormData();
  form.append("title", "Grüße");
  form.append("image", new Blob(["1"], { type: "image/gif" }), "a.gif");
  form.append("image", new File(["22"], "b.gif"));
  form.append("__proto__", "harmless");
  await one.upload(form, { event: "form" });
  const [value] = (await ear.until(1)) as [{ title: string; image: File[] }];
  expect(Object.keys(value)).toEqual(["title", "image", "__proto__"]);
  expect(value.title).toBe("Grüße");
  expect(value.image.map(({ name, type, size }) => [name, type, size])).toEqual([
    ["a.gif", "image/gif", 1],
    ["b.gif", "", 2],
  ]);
});

test("what is too large is not sent, or refused by the broker", async () => {
  const [one] = await three();
  const large = new Blob(["x".repeat(1_000_001)]);
  await expect(one.upload(large)).rejects.toMatchObject({
    name: "WidecastError",
    code: "message_too_large",
    message: /broker takes 1000000/,
  });
  await expect(one.upload({ large })).rejects.toMatchObject({ code: "message_too_large" });
  // Only a Blob's size is its bytes.
  await expect(one.upload({ size: 1_000_001 })).resolves.toMatchObject({ offset: 1 });
  // Before it has met the broker, a client does not know.
  const early = new WidecastChannel("early", {
    broker: machine(broker.url, { WebSocket: undefined, transports: ["websocket"] }),
  });
  untilTheEnd(early);
  await expect(early.upload(large)).rejects.toMatchObject({
    code: "message_too_large",
    retryable: false,
    message: /limits.message_bytes/,
  });
  await expect(early.upload("x", { event: "a\nb" })).rejects.toMatchObject({ code: "bad_event_name" });
});

test("an upload ends when it is late, or given up", async () => {
  const arrived: (string | null)[] = [];
  const url = await server((request) => {
    request.resume();
    arrived.push(new URL(request.url!, "http://broker").searchParams.get("event"));
  });
  const channel = new WidecastChannel("slow", { broker: machine(url, { transports: [] }) });
  const late = channel.upload(new Blob(["x"]), { event: "late", timeout: 50 });
  await expect(late).rejects.toMatchObject({ code: "timeout", retryable: true });
  const stop = new AbortController();
  const upload = channel.upload(new Blob(["x"]), { event: "stopped", signal: stop.signal });
  // Whether the late one left at all is up to the machine, so that it is not counted.
  await expect.poll(() => arrived).toContain("stopped");
  stop.abort(new Error("changed my mind"));
  await expect(upload).rejects.toThrow("changed my mind");
  await expect(channel.upload("x", { event: "never", signal: stop.signal })).rejects.toThrow("changed my mind");
  await expect(channel.upload("x", { event: "last", timeout: 50 })).rejects.toMatchObject({ code: "timeout" });
  expect(arrived).not.toContain("never");
});

test("what is no receipt is none", async () => {
  const url = await server((_, response) => void response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad Gateway"));
  const channel = new WidecastChannel("broken", { broker: machine(url, { transports: [] }) });
  await expect(channel.upload("x")).rejects.toMatchObject({
    code: "disconnected",
    retryable: true,
    message: `${url} gave no receipt`,
  });
  const nowhere = new WidecastChannel("nowhere", { broker: machine("http://127.0.0.1:9", { transports: [] }) });
  await expect(nowhere.upload("x")).rejects.toMatchObject({ code: "disconnected" });
});

test("an upload carries the token", async () => {
  const seen: (string | undefined)[] = [];
  const url = await server((request, response) => {
    seen.push(request.headers.authorization);
    response.end(JSON.stringify({ offset: 1, epoch: "e" }));
  });
  const channel = new WidecastChannel("token", { broker: machine(url, { transports: [], token: async () => "secret" }) });
  expect(await channel.upload("x")).toEqual({ offset: 1, epoch: "e" });
  await new WidecastChannel("token", { broker: machine(url, { transports: [] }) }).upload("x");
  expect(seen).toEqual(["Bearer secret", undefined]);
});

test("a closed channel uploads nothing, nor what cannot be cloned", async () => {
  const [one] = await three();
  await expect(one.upload(() => {})).rejects.toMatchObject({ name: "DataCloneError" });
  await expect(one.upload(undefined)).resolves.toMatchObject({ offset: 1 });
  one.close();
  await expect(one.upload("x")).rejects.toMatchObject({ name: "InvalidStateError" });
});
