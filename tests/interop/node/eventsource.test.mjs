// The `eventsource` package, as a page uses its EventSource.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { EventSource } from "eventsource";

import { Inbox, startBroker, startProxy, within } from "./broker.mjs";

async function open(test, url, events = []) {
  const source = new EventSource(url);
  const inbox = new Inbox();
  for (const name of ["message", "widecast.gap", ...events]) {
    source.addEventListener(name, (event) => inbox.push(event));
  }
  test.after(() => source.close());
  await within("the event stream opens", () => once(source, "open"));
  return { source, inbox };
}

test("an EventSource hears data, event names and cursors", async (t) => {
  const broker = await startBroker(t);
  const { inbox } = await open(t, `${broker.url}/channels/news/sse`, ["tick"]);
  const { epoch, offset } = await broker.publish("news", { hello: 1 });
  const first = await inbox.next();
  assert.deepEqual(JSON.parse(first.data), { hello: 1 });
  assert.equal(first.lastEventId, `${epoch}-${offset}`);
  await broker.publish("news", "two\nlines", "?event=tick");
  const second = await inbox.next();
  assert.deepEqual([second.type, second.data], ["tick", "two\nlines"]);
});

test("an EventSource that is cut off comes back by itself and misses nothing", async (t) => {
  const broker = await startBroker(t);
  const proxy = await startProxy(t, broker.url);
  const { source, inbox } = await open(t, `${proxy.url}/channels/news/sse`);
  // Cut before anything was heard, then in the midst.
  for (const [before, meanwhile, after] of [[1, 2, 3], [4, 5, 6]]) {
    await broker.publish("news", before);
    assert.equal((await inbox.next()).data, String(before));
    const back = once(source, "open");
    proxy.cut();
    await broker.publish("news", meanwhile);
    await within("the event stream is back", () => back);
    await broker.publish("news", after);
    assert.equal((await inbox.next()).data, String(meanwhile));
    assert.equal((await inbox.next()).data, String(after));
  }
});

// Unlike browsers, this package takes no `id:` from a block without data, which is how the broker's streams begin: it has
// to hear something before it can resume. The Rust tests cover the case of nothing heard.
test("an EventSource on two channels resumes in both", async (t) => {
  const broker = await startBroker(t);
  const proxy = await startProxy(t, broker.url);
  const { source, inbox } = await open(t, `${proxy.url}/v1/sse?channel=a&channel=b`);
  await broker.publish("a", "a1");
  assert.equal((await inbox.next()).data, "a1");
  const back = once(source, "open");
  proxy.cut();
  await broker.publish("a", "a2");
  await broker.publish("b", "b1");
  await within("the event stream is back", () => back);
  const heard = [(await inbox.next()).data, (await inbox.next()).data];
  assert.deepEqual(heard.sort(), ["a2", "b1"]);
});

test("an EventSource is not disturbed by the place behind its own messages", async (t) => {
  const broker = await startBroker(t, "--set", "heartbeat.interval_ms=20");
  const sender = "the-key-of-this-page";
  const { inbox } = await open(t, `${broker.url}/channels/news/sse?sender=${sender}`);
  // The same request as a reader of the bytes: it sees when the place has been told.
  const { body } = await fetch(`${broker.url}/channels/news/sse?sender=${sender}`);
  const { epoch, offset } = await broker.publish("news", "own", `?sender=${sender}`);
  let text = "";
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (text.includes(`id: ${epoch}-${offset}\n\n`)) break;
  }
  assert.ok(!text.includes("data:"), text);
  await broker.publish("news", "of another");
  const heard = await inbox.next();
  assert.deepEqual([heard.data, heard.lastEventId], ["of another", `${epoch}-${offset + 1}`]);
});
