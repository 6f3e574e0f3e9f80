/** Posts on their way to the broker, in their order, each kept until the broker has it. */
import type { ConnectionOptions, Receipt } from "./api.js";
import type { Encoded } from "./codec/index.js";
import { WidecastError } from "./error.js";

/** A message to publish. */
export interface Post {
  /** What receivers know it by, and what makes sending it again harmless. */
  readonly id: string;
  readonly channel: string;
  readonly event: string | undefined;
  readonly encoded: Encoded;
  resolve(receipt: Receipt): void;
  reject(error: unknown): void;
}

interface Entry extends Post {
  /** Its asynchronous parts are there. */
  ready: boolean;
  /** The command that carries it on the present connection. */
  command: number | undefined;
}

export type OutboxOptions = Required<Pick<ConnectionOptions, "queueMessages" | "queueBytes">>;

/** How many posts may be out without an answer. */
export const WINDOW = 256;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #grown: () => void;
  readonly #entries: Entry[] = [];
  #bytes = 0;
  /** A post has to be sent again, before any other. */
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
    const message = `${this.size} messages wait: queueMessages or queueBytes allows no more`;
    throw new DOMException(message, "QuotaExceededError");
  }

  add(post: Post): void {
    const { ready } = post.encoded;
    const entry: Entry = { ...post, ready: !ready, command: undefined };
    this.#entries.push(entry);
    this.#bytes += post.encoded.size;
    ready?.then(
      () => {
        entry.ready = true;
        this.#grown();
      },
      (error) => this.#remove(entry)?.reject(error),
    );
    this.#grown();
  }

  /** The next post to send, as the command of this number; none while the first has to wait. */
  next(command: number): Post | undefined {
    if (this.#held) return undefined;
    const index = this.#entries.findIndex((entry) => entry.command === undefined);
    const entry = this.#entries[index];
    if (!entry?.ready || index >= WINDOW) return undefined;
    entry.command = command;
    return entry;
  }

  /** Another connection: what was not answered is sent again. */
  rewind(): void {
    for (const entry of this.#entries) entry.command = undefined;
    this.#held = false;
  }

  /** The command has to be sent again: until `resume` nothing is sent, which would overtake it. */
  hold(command: number): void {
    const entry = this.#find(command);
    if (!entry) return;
    entry.command = undefined;
    this.#held = true;
  }

  resume(): void {
    this.#held = false;
  }

  /** The command was answered; its post is no longer waiting. */
  take(command: number): Post | undefined {
    const entry = this.#find(command);
    return entry && this.#remove(entry);
  }

  /** Nothing will be sent any more. */
  abandon(error: WidecastError): void {
    this.#bytes = 0;
    for (const entry of this.#entries.splice(0)) entry.reject(error);
  }

  #find(command: number): Entry | undefined {
    return this.#entries.find((entry) => entry.command === command);
  }

  #remove(entry: Entry): Post | undefined {
    const index = this.#entries.indexOf(entry);
    if (index < 0) return undefined;
    this.#entries.splice(index, 1);
    this.#bytes -= entry.encoded.size;
    // It may have stood before others that are ready.
    this.#grown();
    return entry;
  }
}
