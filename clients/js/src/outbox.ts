/** Posts on their way to the broker, in their order, each kept until the broker has it. */
import type { ConnectionOptions, Receipt } from "./api.js";
import type { Encoded } from "./codec/index.js";
import type { WidecastError } from "./error.js";

/** A message to publish. */
export interface Post {
  /** The name by which receivers know the message, and with which sending it again is harmless. */
  readonly id: string;
  readonly channel: string;
  readonly event: string | undefined;
  readonly encoded: Encoded;
  resolve(receipt: Receipt): void;
  reject(error: unknown): void;
}

/** A post, and how far it is. */
export interface Entry extends Post {
  /** Whether its asynchronous parts are there. */
  ready: boolean;
  /** Whether a command carries it on the present connection. */
  isSent: boolean;
}

export type OutboxOptions = Required<Pick<ConnectionOptions, "queueMessages" | "queueBytes">>;

/** How many posts may be out without an answer. */
export const WINDOW = 256;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #grown: () => void;
  readonly #entries: Entry[] = [];
  #bytes = 0;
  /** Whether a post has to be sent again, before any other. */
  #held = false;

  /** `grown` is called when there may be something to send. */
  constructor(options: OutboxOptions, grown: () => void) {
    this.#options = options;
    this.#grown = grown;
  }

  get size(): number {
    return this.#entries.length;
  }

  /**
   * Makes sure that there is room.
   *
   * @throws QuotaExceededError when there is none.
   */
  check(bytes: number): void {
    const { queueMessages, queueBytes } = this.#options;
    if (this.size < queueMessages && (this.size === 0 || this.#bytes + bytes <= queueBytes)) return;
    throw new DOMException("queueMessages or queueBytes allows no more", "QuotaExceededError");
  }

  add(post: Post): void {
    const { ready } = post.encoded;
    const entry: Entry = { ...post, ready: !ready, isSent: false };
    this.#entries.push(entry);
    this.#bytes += post.encoded.size;
    ready?.then(
      () => {
        entry.ready = true;
        this.#grown();
      },
      (error) => {
        this.remove(entry);
        entry.reject(error);
      },
    );
    this.#grown();
  }

  /** The next post to send; none while the first has to wait. */
  next(): Entry | undefined {
    if (this.#held) return undefined;
    const index = this.#entries.findIndex((entry) => !entry.isSent);
    const entry = this.#entries[index];
    if (!entry?.ready || index >= WINDOW) return undefined;
    entry.isSent = true;
    return entry;
  }

  /** The connection is another: posts that were not answered are sent again. */
  rewind(): void {
    for (const entry of this.#entries) entry.isSent = false;
    this.#held = false;
  }

  /** A post has to be sent again: until `resume` nothing is sent, which would overtake it. */
  hold(entry: Entry): void {
    entry.isSent = false;
    this.#held = true;
  }

  resume(): void {
    this.#held = false;
  }

  /** Gives all posts up: nothing will be sent any more. */
  abandon(error: WidecastError): void {
    this.#bytes = 0;
    for (const entry of this.#entries.splice(0)) entry.reject(error);
  }

  /** Takes a post out that waits no longer. */
  remove(entry: Entry): void {
    const index = this.#entries.indexOf(entry);
    if (index < 0) return;
    this.#entries.splice(index, 1);
    this.#bytes -= entry.encoded.size;
    // It may have stood before others that are ready.
    this.#grown();
  }
}
