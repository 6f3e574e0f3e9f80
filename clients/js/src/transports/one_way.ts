/** The common part of the transports that only bring frames: commands go by requests of their own. */
import { type Frame, readFrames, together } from "../frames.js";
import { BYTES_AT_ONCE, type Listener, request, takeSome, type Target, type Transport } from "./transport.js";

/** Takes commands to a path of the broker; fails when they may not have arrived. It brings `413` when they are too large for the way. */
export type Courier = (target: Target, path: string, commands: Uint8Array<ArrayBuffer>, signal: AbortSignal) => Promise<unknown>;

const post: Courier = async (target, path, body, signal) => {
  const headers = { "content-type": "application/msgpack" };
  const answer = await request(target, path, {}, { method: "POST", headers, body, signal });
  if (answer.status === 413) return 413;
  if (!answer.ok) throw await refusal("POST", answer);
  return;
};

/** Why a request was refused, and in how many seconds another one makes sense: the link reads it there, and the code of a problem. */
async function refusal(method: string, answer: Response): Promise<Error> {
  const seconds = answer.headers.get("retry-after");
  let text = await answer.text();
  // What is no problem is not to look like one: it comes from another server.
  if (!/problem.json/.test(answer.headers.get("content-type")!)) text = text.slice(0, 400).replaceAll('"', "'");
  return new Error(`${method} was answered ${answer.status} ${seconds ? `Retry-After: ${seconds} ` : ""}${text}`);
}

export class OneWay implements Transport {
  readonly #target: Target;
  readonly #listener: Listener;
  readonly #courier: Courier;
  #bytesAtOnce: number;
  readonly #abort = new AbortController();
  /** Is aborted when the transport has ended. */
  readonly signal = this.#abort.signal;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #session: string | undefined;
  busy = false;

  constructor(target: Target, listener: Listener, courier = post, bytesAtOnce = BYTES_AT_ONCE) {
    this.#target = target;
    this.#listener = listener;
    this.#courier = courier;
    this.#bytesAtOnce = bytesAtOnce;
  }

  /** Asks for an answer with frames. */
  async get(path: string, parameters: Record<string, string>): Promise<Response> {
    const headers = { accept: "application/msgpack" };
    const answer = await request(this.#target, path, parameters, { headers, cache: "no-store", signal: this.signal });
    if (answer.ok && answer.headers.get("content-type") === "application/msgpack") return answer;
    throw await refusal("GET", answer);
  }

  send(commands: Uint8Array<ArrayBuffer>[]): void {
    this.#queue.push(...commands);
    void this.#post();
  }

  close(): void {
    this.#abort.abort();
  }

  /** Frames have come; the welcome says where commands go. */
  frames(frames: Frame[]): void {
    if (this.signal.aborted) return;
    this.#session ??= frames[0]?.session;
    this.#listener.frames(frames);
    void this.#post();
  }

  /** The answer with frames has ended. */
  readonly end = (reason: unknown): void => {
    if (this.signal.aborted) return;
    this.close();
    this.#listener.closed(String(reason));
  };

  /** The transport could not be opened. A WebSocket or an EventSource does not tell a page why, so the broker is asked. */
  refused(): void {
    this.get("v1/ws", {}).catch(this.end);
  }

  /** One request at a time, so that commands keep their order. */
  async #post(): Promise<void> {
    if (this.busy || !this.#session) return;
    this.busy = true;
    try {
      while (this.#queue.length && !this.signal.aborted) {
        const commands = takeSome(this.#queue, this.#bytesAtOnce);
        const path = `v1/sessions/${this.#session}/commands`;
        if ((await this.#courier(this.#target, path, together(commands), this.signal)) === 413) this.#refused(commands);
      }
    } catch (error) {
      this.end(error);
    } finally {
      this.busy = false;
    }
  }

  /** A proxy may take less than the broker: only a command that is too large alone fails, and it holds up nothing else. */
  #refused(commands: Uint8Array<ArrayBuffer>[]): void {
    if (commands.length > 1) {
      this.#bytesAtOnce = 0;
      this.#queue.unshift(...commands);
    } else {
      const { id } = readFrames(commands[0]!)[0]!;
      this.frames([{ type: "error", id: id!, code: "message_too_large", message: "a proxy refused it" }]);
    }
  }
}
