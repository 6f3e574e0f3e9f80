/** The way to the broker for transports that only lead back: one POST at a time, so that commands keep their order. */
import { together } from "../frames.js";
import { address, takeSome, type Target } from "./transport.js";

export class CommandPost {
  readonly #target: Target;
  readonly #failed: (reason: string) => void;
  readonly #abort = new AbortController();
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #session: string | undefined;
  #posting = false;

  constructor(target: Target, failed: (reason: string) => void) {
    this.#target = target;
    this.#failed = failed;
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
        const answer = await this.#target.platform.fetch!(address(this.#target, `v1/sessions/${this.#session}/commands`), {
          method: "POST",
          headers: { "content-type": "application/msgpack" },
          body: together(takeSome(this.#queue)),
          signal: this.#abort.signal,
        });
        if (!answer.ok) throw new Error(`POST was answered ${answer.status}`);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#failed(String(error));
    } finally {
      this.#posting = false;
    }
  }
}
