/** Clients that have no broker, or one that does not want them: they say so once, and leave it at that. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { connect, WidecastChannel } from "../src/index.js";

let server: Server | undefined;
afterEach(() => void server?.close());

/** A server that answers every request in one way; the paths that it was asked for. */
async function answering(status: number, type: string, body: string): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  server = createServer(({ url }, response) => {
    asked.push(new URL(url!, "http://server").pathname);
    response.writeHead(status, { "content-type": type }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test("in Node a broker has to be named", async () => {
  const channel = new WidecastChannel("news");
  const heard = vi.fn();
  channel.addEventListener("status", ({ detail }) => heard(detail));
  await expect(channel.ready).rejects.toMatchObject({ code: "local_only", message: expect.stringContaining("name a broker") });
  await vi.waitFor(() =>
    expect(heard).toHaveBeenCalledExactlyOnceWith({
      state: "closed",
      transport: undefined,
      reason: expect.stringContaining("name a broker"),
    }),
  );
  expect(channel.connection).toBeUndefined();
  channel.close();
  expect(() => connect()).toThrow("name a broker");
});

test("a page that the broker refuses is told at once, and does not ask again", async () => {
  const detail = "pages of http://x may not talk to this broker: server.allowed_origins does not list it";
  const { url, asked } = await answering(403, "application/problem+json", JSON.stringify({ code: "origin_not_allowed", detail }));
  const connection = connect(url, { share: false, minDelay: 1, transports: ["stream", "poll"] });
  const channel = new WidecastChannel("news", { broker: connection });
  const reasons: string[] = [];
  channel.addEventListener("status", ({ detail: { reason } }) => reasons.push(reason));
  await expect(channel.ready).rejects.toMatchObject({ code: "origin_not_allowed", message: expect.stringContaining(detail) });
  expect(connection.state).toBe("closed");
  expect(reasons.at(-1)).toContain(detail);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(asked).toEqual(["/v1/stream"]);
});

test("a server that is no broker says what it has answered", async () => {
  const { url } = await answering(200, "text/html", "<h1>Welcome");
  const connection = connect(url, { share: false, maxAttempts: 0, transports: ["stream", "poll"] });
  const channel = new WidecastChannel("news", { broker: connection });
  await expect(channel.ready).rejects.toMatchObject({
    code: "closed",
    message: expect.stringMatching(/stream: .*was answered 200 <h1>Welcome.*poll: .*was answered 200/),
  });
});
