/** A broker that refuses a credential before there is a session, as that in a cookie. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { WidecastChannel } from "../src/channel.js";
import type { TransportName } from "../src/transports/index.js";
import { endAll, openMachine } from "./machines.js";

const problem = { title: "Credentials are missing.", status: 401, detail: "the token has expired", code: "unauthorized" };
let asked = 0;
let type = "";
beforeEach(() => void (type = "application/problem+json"));
const server = createServer((_, response) => {
  asked++;
  response.writeHead(401, { "content-type": type }).end(JSON.stringify(problem));
});
beforeAll(async () => void (await once(server.listen(0, "127.0.0.1"), "listening")));
afterEach(endAll);
afterAll(() => void server.close());

test.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s it is told why, and not tried again", async (name) => {
  const { port } = server.address() as AddressInfo;
  const connection = openMachine(`http://127.0.0.1:${port}`, { transports: [name], minDelay: 1, maxDelay: 2 });
  const channel = new WidecastChannel("news", { broker: connection });
  const refused = { code: "unauthorized", message: expect.stringContaining("the token has expired") };
  await expect(channel.ready).rejects.toMatchObject(refused);
  expect(connection.state).toBe("closed");
  const before = asked;
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(asked).toBe(before);
});

test.each<TransportName>(["websocket", "stream", "poll"])("over %s a gateway that says the same is asked again", async (name) => {
  type = "application/json";
  const { port } = server.address() as AddressInfo;
  const connection = openMachine(`http://127.0.0.1:${port}`, { transports: [name], minDelay: 1, maxDelay: 2 });
  new WidecastChannel("news", { broker: connection });
  const before = asked;
  await expect.poll(() => asked).toBeGreaterThan(before + 4);
  expect(connection.state).not.toBe("closed");
});
