// Node's own `fetch`: a stream read piece by piece, and polls.

import assert from "node:assert/strict";
import { test } from "node:test";

import { startBroker, within } from "./broker.mjs";

async function* lines(response) {
  let rest = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + piece).split("\n");
    rest = parts.pop();
    yield* parts.filter((line) => line !== "");
  }
}

test("a fetch reader hears messages line by line", async (t) => {
  const broker = await startBroker(t);
  const giveUp = new AbortController();
  t.after(() => giveUp.abort());
  const response = await fetch(`${broker.url}/channels/news/stream`, { signal: giveUp.signal });
  assert.equal(response.headers.get("content-type").split(";")[0], "application/x-ndjson");
  const stream = lines(response);
  for (let number = 1; number <= 3; number += 1) {
    const { epoch } = await broker.publish("news", { number });
    const { value } = await within("a line", () => stream.next());
    const message = JSON.parse(value);
    assert.deepEqual([message.data, message.offset], [{ number }, number]);
    assert.equal(message.cursor, `${epoch}-${number}`);
  }
});

test("a long-poll hears each message once", async (t) => {
  const broker = await startBroker(t);
  const poll = async (cursor) => {
    const query = cursor ? `?cursor=${cursor}` : "";
    return (await fetch(`${broker.url}/channels/news/poll${query}`)).json();
  };
  let { cursor, messages } = await within("the first poll", () => poll());
  assert.deepEqual(messages, []);
  for (let number = 1; number <= 3; number += 1) {
    const waiting = poll(cursor);
    await broker.publish("news", number);
    const answer = await within("the poll's answer", () => waiting);
    assert.deepEqual(answer.messages.map((message) => message.data), [number]);
    assert.equal(answer.recovered, true);
    cursor = answer.cursor;
  }
});
