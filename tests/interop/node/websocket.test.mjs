// The `ws` package, as a page uses its WebSocket.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";

import { Inbox, startBroker, within } from "./broker.mjs";

async function open(test, url, protocols = []) {
  const socket = new WebSocket(url, protocols);
  const inbox = new Inbox();
  socket.on("message", (data, isBinary) => inbox.push(isBinary ? data : data.toString()));
  test.after(() => socket.terminate());
  await within("the WebSocket opens", () => once(socket, "open"));
  return { socket, inbox };
}

test("a plain WebSocket hears data as it is and publishes what it sends", async (t) => {
  const broker = await startBroker(t);
  const one = await open(t, `${broker.socketUrl}/channels/news/ws`);
  const other = await open(t, `${broker.socketUrl}/channels/news/ws`);
  await broker.publish("news", { hello: 1 });
  assert.deepEqual(JSON.parse(await one.inbox.next()), { hello: 1 });
  assert.deepEqual(JSON.parse(await other.inbox.next()), { hello: 1 });
  one.socket.send("text");
  assert.equal(await other.inbox.next(), "text");
  one.socket.send(Buffer.from([0, 255]));
  assert.deepEqual(await other.inbox.next(), Buffer.from([0, 255]));
  other.socket.send("answer");
  assert.equal(await one.inbox.next(), "answer", "the own messages did not come back");
});

test("a plain WebSocket takes large and fragmented messages", async (t) => {
  const broker = await startBroker(t);
  const one = await open(t, `${broker.socketUrl}/channels/news/ws`);
  const other = await open(t, `${broker.socketUrl}/channels/news/ws`);
  const large = "ä".repeat(200_000);
  one.socket.send(large);
  assert.equal(await other.inbox.next(), large);
  one.socket.send("in ", { fin: false });
  one.socket.send("three ", { fin: false });
  one.socket.send("pieces", { fin: true });
  assert.equal(await other.inbox.next(), "in three pieces");
});

test("a ping is answered and a close is too", async (t) => {
  const broker = await startBroker(t);
  const { socket } = await open(t, `${broker.socketUrl}/channels/news/ws`);
  socket.ping("are you there");
  const [payload] = await within("a pong", () => once(socket, "pong"));
  assert.equal(payload.toString(), "are you there");
  socket.close(1000, "done");
  const [code] = await within("the end", () => once(socket, "close"));
  assert.equal(code, 1000);
});

test("the envelope protocol in JSON", async (t) => {
  const broker = await startBroker(t);
  const { socket, inbox } = await open(t, `${broker.socketUrl}/v1/ws`, ["widecast.v1.json"]);
  assert.equal(socket.protocol, "widecast.v1.json");
  const frame = async () => JSON.parse(await inbox.next());
  assert.equal((await frame()).type, "welcome");
  socket.send(JSON.stringify({ type: "subscribe", id: 1, channel: "news" }));
  const joined = await frame();
  assert.deepEqual([joined.type, joined.id, joined.recovered], ["subscribed", 1, true]);
  const { offset, epoch } = await broker.publish("news", [1], "?event=tick");
  const message = await frame();
  assert.deepEqual(
    [message.type, message.channel, message.event, message.data, message.offset, message.epoch],
    ["message", "news", "tick", [1], offset, epoch],
  );
});

test("a refused handshake tells why", async (t) => {
  const broker = await startBroker(t);
  const socket = new WebSocket(`${broker.socketUrl}/channels/news/ws?cursor=nonsense`);
  socket.on("error", () => {});
  const ended = Promise.race([
    once(socket, "unexpected-response").then(([, response]) => response.statusCode),
    once(socket, "close").then(([code]) => code),
  ]);
  const code = await within("a refusal", () => ended);
  assert.ok(code === 400 || code === 4400, `got ${code}`);
});
