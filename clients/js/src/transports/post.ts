/** The way to the broker for transports that only lead back: one request at a time, so that commands keep their order. */
import { together } from "../frames.js";
import { address, BYTES_AT_ONCE, takeSome, type Target } from "./transport.js";

/** Takes commands to a path of the broker; fails when they may not have arrived. */
export type Courier = (target: Target, path: string, commands: Uint8Array<ArrayBuffer>, signal: AbortSignal) => Promise<unknown>;

const post: Courier = async (target, path, body, signal) => {
  const headers = { "content-type": "application/msgpack" };
  const answer = await target.platform.fetch!(address(target, path), { method: "POST", headers, body, signal });
  if (!answer.ok) throw new Error(`POST was answered ${answer.status}`);
};

export class CommandPost {
  readonly #target: Target;
  readonly #failed: (reason: string) => void;
  readonly #courier: Courier;
  readonly #bytesAtOnce: number;
  readonly #abort = new AbortController();
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #session: string | undefined;
  #posting = false;

  constructor(target: Target, failed: (reason: string) => void, courier = post, bytesAtOnce = BYTES_AT_ONCE) {
    this.#target = target;
    this.#failed = failed;
    this.#courier = courier;
    this.#bytesAtOnce = bytesAtOnce;
  }

  get busy(): boolean {
    return this.#posting;
  }

  /** The session is known: what is queued can go. */
  open(session: string): void {
    this.#session = session;
    void this.#post();
  }

  send(commands: Uint8Array<ArrayBuffer>[]): void {
    this.#queue.push(...commands);
    void this.#post();
  }

  close(): void {
    this.#queue.length = 0;
    this.#abort.abort();
  }

  async #post(): Promise<void> {
    if (this.#posting || !this.#session) return;
    this.#posting = true;
    try {
      while (this.#queue.length) {
        const commands = together(takeSome(this.#queue, this.#bytesAtOnce));
        await this.#courier(this.#target, `v1/sessions/${this.#session}/commands`, commands, this.#abort.signal);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#failed(String(error));
    } finally {
      this.#posting = false;
    }
  }
}
