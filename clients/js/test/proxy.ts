/** A proxy before the broker that behaves as badly as it is told to. */
import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import net, { type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";

/** What it does to the requests of a kind. `hang`: no answer; `buffer`: only the head of the answer, until it is at its end. */
export type Manner = "pass" | "refuse" | "hang" | "buffer";

export class Proxy {
  /** By the part of the path behind `/v1/`: `ws`, `sse`, `stream`, `poll`, `sessions`. */
  readonly manners: Record<string, Manner> = {};
  /** The parts of all requests that came. */
  readonly seen: string[] = [];
  readonly #upstream: URL;
  readonly #sockets = new Set<Duplex>();
  readonly #server = http.createServer((request, response) => {
    const manner = this.#manner(request);
    if (manner === "refuse") return void response.writeHead(502).end();
    if (manner === "hang") return;
    const { hostname, port } = this.#upstream;
    const onward = http.request({ hostname, port, path: request.url, method: request.method, headers: request.headers });
    const stop = (): void => void (onward.destroy(), response.destroy());
    onward.on("error", stop).on("response", (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      response.flushHeaders();
      answer.on("error", stop);
      if (manner === "pass") answer.pipe(response);
      else answer.resume();
    });
    response.on("close", stop);
    request.pipe(onward);
  });
  #isSilent = false;

  private constructor(upstream: string) {
    this.#upstream = new URL(upstream);
    this.#server.on("connection", (socket: Socket) => this.#keep(socket));
    this.#server.on("upgrade", (request: IncomingMessage, client: Duplex, head: Buffer) => {
      const manner = this.#manner(request);
      if (manner === "refuse") return void client.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
      if (manner !== "pass") return;
      const upstream = net.connect(Number(this.#upstream.port), this.#upstream.hostname);
      this.#keep(upstream);
      const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
      upstream.write(`GET ${request.url} HTTP/1.1\r\n${headers.join("")}\r\n`);
      upstream.write(head);
      const end = (): void => void (client.destroy(), upstream.destroy());
      client.on("data", (bytes) => this.#isSilent || upstream.write(bytes)).on("close", end);
      upstream.on("data", (bytes) => this.#isSilent || client.write(bytes)).on("close", end);
    });
  }

  static async start(upstream: string): Promise<Proxy> {
    const proxy = new Proxy(upstream);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#sockets) (socket as Socket).resetAndDestroy();
  }

  /** Lets nothing through the WebSockets that are open, nor tells anybody. */
  silence(isSilent: boolean): void {
    this.#isSilent = isSilent;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #manner(request: IncomingMessage): Manner {
    const part = /\/v1\/(\w+)/.exec(request.url!)?.[1] ?? "";
    this.seen.push(part);
    return this.manners[part] ?? "pass";
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
