/** What is sent together. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import WebSocket from "ws";
import { WidecastChannel } from "../src/channel.js";
import type { ConnectionOptions } from "../src/api.js";
import { Connection } from "../src/connection.js";
import { StubBroker } from "./stub_broker.js";

let broker: StubBroker;
let connection: Connection;
beforeEach(async () => {
  broker = await StubBroker.start();
  broker.isStrict = false;
});
afterEach(() => {
  vi.useRealTimers();
  connection.close();
  broker.close();
});

async function channel(options: ConnectionOptions): Promise<WidecastChannel> {
  connection = new Connection(new URL(`${broker.url}/`), { WebSocket: WebSocket as never, minDelay: 20, ...options });
  const channel = new WidecastChannel("news", { broker: connection });
  await channel.ready;
  return channel;
}

/** How many publications each frame had. */
const frames = (): number[] =>
  broker.received.map((frame) => frame.filter(({ type }) => type === "publish").length).filter((count) => count > 0);
/** What was published, in order. */
const published = (): unknown[] => broker.commands("publish").map((frame) => frame["data"]);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Posts numbers, each in a task of its own. */
async function post(channel: WidecastChannel, count: number): Promise<void> {
  const receipts = [];
  for (let i = 0; i < count; i++) {
    receipts.push(channel.publish(i));
    await turn();
  }
  const offsets = (await Promise.all(receipts)).map(({ offset }) => offset);
  expect(offsets).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  expect(published()).toEqual(Array.from({ length: count }, (_, i) => i));
}

test("what is posted in one task is one frame, and otherwise nothing waits", async () => {
  const news = await channel({});
  await post(news, 3);
  expect(frames()).toEqual([1, 1, 1]);
  await Promise.all([news.publish("a"), news.publish("b")]);
  expect(frames()).toEqual([1, 1, 1, 2]);
});

test("with a delay, what is posted meanwhile goes together", async () => {
  const news = await channel({ batchDelay: 300 });
  // By a clock of our own: the machine may take longer to post.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const posting = post(news, 20);
  while (connection.queued < 20) await turn();
  vi.advanceTimersByTime(299);
  await turn();
  expect(frames()).toEqual([]);
  vi.advanceTimersByTime(1);
  await posting;
  expect(frames()).toEqual([20]);
});

test("so many bytes do not wait", async () => {
  const news = await channel({ batchDelay: 60_000, batchBytes: 1000 });
  const receipts = [];
  for (const letter of ["a", "b", "c", "d"]) {
    receipts.push(news.publish(letter.repeat(400)));
    await turn();
  }
  // The third makes them enough; the fourth waits again.
  await Promise.all(receipts.slice(0, 3));
  expect(frames()).toEqual([3]);
  expect(connection.queued).toBe(1);
  receipts[3]!.catch(() => {});
});

test("many messages are not held up by a long delay", async () => {
  // Longer than the test may take.
  const news = await channel({ batchDelay: 3_600_000 });
  // More than may be out without an answer: the rest goes as answers come, but for the last few.
  const receipts = Array.from({ length: 1200 }, (_, i) => news.publish(i));
  for (const receipt of receipts) receipt.catch(() => {});
  await Promise.all(receipts.slice(0, 900));
  expect(published().slice(0, 900)).toEqual(Array.from({ length: 900 }, (_, i) => i));
});

test("what waits survives a reconnect, once and in order", async () => {
  const news = await channel({ batchDelay: 50 });
  const receipts = [];
  for (let i = 0; i < 100; i++) {
    receipts.push(news.publish(i));
    if (i % 30 === 10) broker.cut();
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  const offsets = (await Promise.all(receipts)).map(({ offset }) => offset);
  expect(offsets).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
});
