/** A proxy before the broker that behaves as badly as it is told to, at any moment. */
import { once } from "node:events";
import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from "node:http";
import net, { type AddressInfo, type Socket } from "node:net";
import type { Duplex, Readable, Writable } from "node:stream";

/**
 * What it does to the requests of a kind. `refuse`: answers with an error. `busy`: says to come back in a second. `hang`: no answer. `buffer`: only the head of the
 * answer, until it is at its end. `silent`: from now on nothing passes, also of what is open, and nobody is told.
 */
export type Manner = "pass" | "refuse" | "busy" | "hang" | "buffer" | "silent";

export class Proxy {
  /** By the part of the path behind `/v1/`: `ws`, `sse`, `stream`, `poll`, `sessions`; and `jsonp`, whatever a script asks for. */
  readonly manners: Record<string, Manner> = {};
  /** The headers that it takes away from answers, in lower case. */
  readonly withheld: string[] = [];
  /** The parts of all requests that came. */
  readonly seen: string[] = [];
  /** How many requests of each part wait for their answers to begin. */
  readonly waiting: Record<string, number> = {};
  /**
   * After how many more bytes, counted over all connections, the one that carries the last of them is cut: in the middle of
   * whatever it is. Each number is one cut; what is not used up is still to come.
   */
  cutAfter: number[] = [];
  #passed = 0;
  readonly #sockets = new Set<Duplex>();
  readonly #server = http.createServer((request, response) => this.#request(request, response));

  private constructor(public upstream: string) {
    this.#server.on("connection", (socket: Socket) => this.#keep(socket));
    this.#server.on("upgrade", (request: IncomingMessage, client: Duplex, head: Buffer) => this.#upgrade(request, client, head));
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

  close(): void {
    this.cut();
    this.#server.close();
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const part = this.#arrived(request);
    const manner = this.manners[part];
    if (manner === "refuse") return void response.writeHead(502).end();
    if (manner === "busy") return answerBusy(request, response);
    if (manner === "hang" || manner === "silent") return;
    const { hostname, port } = new URL(this.upstream);
    const onward = http.request({ hostname, port, path: request.url, method: request.method, headers: request.headers });
    const stop = (): void => void (onward.destroy(), response.destroy());
    this.#waits(part, onward);
    onward.on("error", stop).on("response", (answer) => {
      const kept = Object.entries(answer.headers).filter(([name]) => !this.withheld.includes(name));
      response.writeHead(answer.statusCode!, Object.fromEntries(kept));
      response.flushHeaders();
      answer.on("error", stop);
      if (manner === "buffer") answer.resume();
      else this.#carry(part, answer, response, response.socket!);
    });
    response.on("close", stop);
    this.#carry(part, request, onward, request.socket);
  }

  #upgrade(request: IncomingMessage, client: Duplex, head: Buffer): void {
    const part = this.#arrived(request);
    const manner = this.manners[part] ?? "pass";
    if (manner === "refuse") return void client.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    if (manner !== "pass") return;
    const { hostname, port } = new URL(this.upstream);
    const upstream = net.connect(Number(port), hostname);
    this.#keep(upstream);
    const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
    upstream.write(`GET ${request.url} HTTP/1.1\r\n${headers.join("")}\r\n`);
    upstream.write(head);
    const end = (): void => void (client.destroy(), upstream.destroy());
    client.on("close", end);
    upstream.on("close", end);
    this.#carry(part, client, upstream, client as Socket);
    this.#carry(part, upstream, client, client as Socket);
  }

  /** Passes bytes on, as the manner of the moment allows; `socket` is the client's. */
  #carry(part: string, from: Readable, to: Writable, socket: Socket): void {
    let isLost = false;
    from.on("data", (bytes: Buffer) => {
      isLost ||= this.manners[part] === "silent";
      if (isLost) return;
      const left = (this.cutAfter[0] ?? Infinity) - this.#passed;
      this.#passed += bytes.length;
      if (bytes.length < left) return void to.write(bytes);
      isLost = true;
      this.#passed = 0;
      this.cutAfter.shift();
      // In turns, as a broken network does and as an orderly proxy.
      const cut = (): void => void (this.cutAfter.length % 2 ? socket.resetAndDestroy() : socket.destroy());
      to.write(bytes.subarray(0, left), cut);
    });
    from.on("end", () => isLost || to.end());
  }

  #waits(part: string, onward: ClientRequest): void {
    this.waiting[part] = (this.waiting[part] ?? 0) + 1;
    let isWaiting = true;
    const end = (): void => {
      if (isWaiting) this.waiting[part]! -= 1;
      isWaiting = false;
    };
    onward.once("response", end).once("close", end);
  }

  #arrived(request: IncomingMessage): string {
    const part = request.url!.includes("callback=") ? "jsonp" : (/\/v1\/(\w+)/.exec(request.url!)?.[1] ?? "");
    this.seen.push(part);
    return part;
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

/** What a broker that has too much to do says to a page of any origin. */
const BUSY = {
  "content-type": "text/plain",
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "Retry-After",
  "retry-after": "1",
};

function answerBusy(request: IncomingMessage, response: ServerResponse): void {
  const callback = new URL(request.url!, "http://broker").searchParams.get("callback");
  if (!callback) return void response.writeHead(503, BUSY).end();
  const error = { code: "overloaded", message: "later", retryable: true, retry_after_ms: 1000 };
  response.writeHead(200, { "content-type": "text/javascript" }).end(`${callback}(${JSON.stringify({ error })});`);
}
