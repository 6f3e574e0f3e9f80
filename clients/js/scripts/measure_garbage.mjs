// What channel objects cost that nobody holds: memory, and time for posts on a channel that has had many of them. In Chromium, of the
// native object and of ours, with a broker, without one, and in a tab that shares the connection of another.
//
//   BROKER_BINARY=../../target/release/widecast node scripts/measure_garbage.mjs

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const OBJECTS = Number(process.env.OBJECTS ?? 2000);
const POSTS = Number(process.env.POSTS ?? 200);
const CLIENT = new URL("../../../broker/assets/client/widecast.js", import.meta.url);

const broker = spawn(process.env.BROKER_BINARY ?? "../../target/release/widecast", ["serve", "--listen", "127.0.0.1:0"], {
  stdio: ["ignore", "ignore", "pipe"],
});
let url;
for await (const line of createInterface({ input: broker.stderr })) {
  url = /listening on (http:\/\/[0-9.:]+)/.exec(line)?.[1];
  if (url) break;
}
broker.stderr.resume();

const server = createServer(async ({ url }, answer) => {
  if (url === "/") return answer.setHeader("content-type", "text/html").end("<!doctype html>");
  return answer.setHeader("content-type", "text/javascript").end(await readFile(CLIENT));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const origin = `http://127.0.0.1:${server.address().port}`;

/** Runs in a page: makes the objects, then posts, and waits until a listener of the same page has heard the last. */
async function measure({ kind, broker, name, objects, posts }) {
  const { WidecastChannel } = await import("/widecast.js");
  const Channel = kind === "native" ? BroadcastChannel : WidecastChannel;
  const open = () => new Channel(name, kind === "native" ? undefined : { broker });
  const used = async () => {
    for (let i = 0; i < 5; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return performance.memory.usedJSHeapSize / 1e6;
  };
  const round = async () => {
    const [from, to] = [open(), open()];
    const heard = new Promise((resolve) => (to.onmessage = ({ data }) => data === posts && resolve()));
    const start = performance.now();
    for (let i = 1; i <= posts; i++) from.postMessage(i);
    const posted = performance.now() - start;
    await heard;
    const milliseconds = performance.now() - start;
    from.close();
    to.close();
    return [posted, milliseconds];
  };
  if (kind !== "no broker" && kind !== "native") await open().ready;
  await round();
  const before = await used();
  const start = performance.now();
  for (let i = 0; i < objects; i++) open().postMessage(i);
  const made = performance.now() - start;
  const [posted, heard] = await round();
  const after = (await used()) - before;
  const [postedLater, heardLater] = await round();
  const rows = {
    "make ms": made,
    "post ms": posted,
    "heard ms": heard,
    "MB after gc": after,
    "post ms after gc": postedLater,
    "heard ms after gc": heardLater,
  };
  return Object.fromEntries(Object.entries(rows).map(([key, value]) => [key, Math.round(value * 10) / 10]));
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--js-flags=--expose-gc", "--enable-precise-memory-info"],
});
const rows = {};
for (const kind of ["native", "broker", "no broker", "follower"]) {
  const context = await browser.newContext();
  const address = kind === "no broker" ? "http://127.0.0.1:9" : url;
  if (kind === "follower") {
    const leader = await context.newPage();
    await leader.goto(origin);
    await leader.evaluate(async (broker) => {
      const { WidecastChannel } = await import("/widecast.js");
      self.channel = new WidecastChannel("leader", { broker });
      await self.channel.ready;
    }, address);
  }
  const page = await context.newPage();
  await page.goto(origin);
  const name = `garbage of ${kind}`;
  rows[kind] = await page.evaluate(measure, { kind, broker: address, name, objects: OBJECTS, posts: POSTS });
  console.log(kind, rows[kind]);
  await context.close();
}
console.log(`Chromium ${browser.version()}: ${OBJECTS} objects that nobody holds, ${POSTS} posts`);
console.table(rows);
await browser.close();
server.close();
broker.kill();
