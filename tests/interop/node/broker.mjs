// A real broker for the tests of this folder, and what they wait with.

import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BUILT = fileURLToPath(new URL("../../../target/debug/widecast", import.meta.url));
const PATIENCE_MS = 20_000;

/** Starts a broker on a port of its own, with further arguments; it ends with the test. */
export async function startBroker(test, ...more) {
  const broker = spawn(process.env.BROKER_BINARY ?? BUILT, ["serve", "--listen", "127.0.0.1:0", ...more], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  test.after(async () => {
    broker.kill("SIGKILL");
    if (broker.exitCode === null && broker.signalCode === null) await once(broker, "exit");
  });
  const url = await within("the broker's start", async () => {
    for await (const line of createInterface({ input: broker.stderr })) {
      const found = line.match(/listening on (http:\/\/[0-9.:]+)/);
      if (found) return found[1];
    }
    throw new Error("the broker ended");
  });
  broker.stderr.resume();
  return {
    url,
    socketUrl: url.replace("http", "ws"),
    async publish(channel, data, query = "") {
      const answer = await fetch(`${url}/channels/${encodeURIComponent(channel)}/messages${query}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(data),
      });
      if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
      return answer.json();
    },
  };
}

/** Awaits what `wait` gives, with a deadline. */
export async function within(what, wait) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([wait(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Collects what comes, for tests to wait for one after the other. */
export class Inbox {
  #arrived = [];
  #waiting = [];

  push(item) {
    const next = this.#waiting.shift();
    if (next) next(item);
    else this.#arrived.push(item);
  }

  next(what = "something arrives") {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift());
    return within(what, () => new Promise((resolve) => this.#waiting.push(resolve)));
  }
}

/** A proxy whose connections can be cut, as a network does it. */
export async function startProxy(test, url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => sockets.forEach((socket) => socket.resetAndDestroy());
  test.after(() => {
    cut();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, cut };
}
