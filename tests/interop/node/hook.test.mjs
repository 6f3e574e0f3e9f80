// The example of an authorisation hook for Express, asked by a real broker.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import express from "express";
import { startBroker } from "./broker.mjs";

const SECRET = "0123456789abcdef0123456789abcdef";
const EXAMPLE = fileURLToPath(new URL("../../../examples/hook/express/hook.mjs", import.meta.url));

/** The example, from where it finds Express. */
async function example() {
  const directory = fileURLToPath(new URL("./node_modules/.examples/", import.meta.url));
  mkdirSync(directory, { recursive: true });
  copyFileSync(EXAMPLE, join(directory, "hook.mjs"));
  return import(`${directory}hook.mjs`);
}

test("the example for Express decides what clients of the broker may do", async (t) => {
  const { hook } = await example();
  const app = express().post("/push/hook", ...hook(`${SECRET}\n`));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const url = `http://127.0.0.1:${server.address().port}/push/hook`;
  const directory = mkdtempSync(join(tmpdir(), "widecast-hook-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const secret = join(directory, "hook.key");
  writeFileSync(secret, `${SECRET}\n`);
  const settings = [
    `auth.hook.url=${url}`,
    `auth.hook.secret_file=${secret}`,
    // The first answer of the example may be slow.
    "auth.hook.timeout_ms=20000",
    "namespace.default.anonymous=*",
  ];
  const broker = await startBroker(t, ...settings.flatMap((setting) => ["--set", setting]));
  const publish = async (channel, body) => {
    const answer = await fetch(`${broker.url}/channels/${channel}/messages`, { method: "POST", body });
    return { status: answer.status, body: await answer.json() };
  };

  assert.equal((await publish("news", "x")).status, 200);
  const long = await publish("news", "x".repeat(1001));
  assert.equal(long.status, 403);
  assert.equal(long.body.detail, "a message has at most 1000 bytes here");
  const members = await publish("members:a", "x");
  assert.equal(members.status, 401);
  assert.equal(members.body.detail, "log in to enter members:a");

  const body = JSON.stringify({ event: "connect", user: null });
  const ask = async (headers) => {
    const answer = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
    return answer.status;
  };
  /** A request that is signed as the broker signs its own. */
  const signed = (timestamp, key) => ({
    "widecast-timestamp": `${timestamp}`,
    "widecast-signature": createHmac("sha256", key).update(`${timestamp}.${body}`).digest("hex"),
  });
  const now = Math.floor(Date.now() / 1000);
  assert.equal(await ask(signed(now, SECRET)), 200);
  assert.equal(await ask({}), 403);
  assert.equal(await ask({ ...signed(now, SECRET), "widecast-signature": "00".repeat(32) }), 403);
  assert.equal(await ask(signed(now, "another")), 403);
  // Somebody who has overheard the broker sends again what it has signed, or a time that is to come.
  assert.equal(await ask(signed(now - 3600, SECRET)), 403);
  assert.equal(await ask(signed(now + 3600, SECRET)), 403);
});
