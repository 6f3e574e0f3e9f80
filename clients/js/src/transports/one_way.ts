/** What transports share that only lead back: commands go by requests of their own. */
import { type Frame, readFrames, together } from "../frames.js";
import { address, BYTES_AT_ONCE, type Listener, takeSome, type Target, type Transport } from "./transport.js";

/** Takes commands to a path of the broker; fails when they may not have arrived. `413`: they are too large for the way. */
export type Courier = (target: Target, path: string, commands: Uint8Array<ArrayBuffer>, signal: AbortSignal) => Promise<unknown>;

const post: Courier = async (target, path, body, signal) => {
  const headers = { "content-type": "application/msgpack" };
  const answer = await target.platform.fetch!(address(target, path), { method: "POST", headers, body, signal });
  if (answer.status === 413) return 413;
  if (!answer.ok) throw new Error(`POST was answered ${answer.status}`);
  return;
};

export class OneWay implements Transport {
  readonly #target: Target;
  readonly #listener: Listener;
  readonly #courier: Courier;
  #bytesAtOnce: number;
  readonly #abort = new AbortController();
  /** Aborted when it has ended. */
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

  /** Asks for what leads back. */
  async get(path: string, parameters: Record<string, string>): Promise<Response> {
    const answer = await this.#target.platform.fetch!(address(this.#target, path, parameters), {
      headers: { accept: "application/msgpack" },
      cache: "no-store",
      signal: this.signal,
    });
    if (answer.ok && answer.headers.get("content-type") === "application/msgpack") return answer;
    throw new Error(`GET was answered ${answer.status} ${(await answer.text()).slice(0, 400)}`);
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

  /** The way back has ended. */
  end(reason: unknown): void {
    if (this.signal.aborted) return;
    this.close();
    this.#listener.closed(String(reason));
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

  /** A proxy may take less than the broker: what is too large alone fails, and holds up nothing else. */
  #refused(commands: Uint8Array<ArrayBuffer>[]): void {
    if (commands.length > 1) {
      this.#bytesAtOnce = 0;
      this.#queue.unshift(...commands);
    } else {
      const { id } = readFrames(commands[0]!)[0]!;
      this.frames([{ type: "error", id: id!, code: "message_too_large", message: "a proxy does not let it through" }]);
    }
  }
}
