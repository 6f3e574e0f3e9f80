/** An outbox that publishes its posts: those of one task together, all in their order, and each again until the broker has it. */
import type { ConnectionOptions, Receipt } from "./api.js";
import { compress } from "./codec/index.js";
import type { Commands } from "./commands.js";
import type { Command } from "./frames.js";
import { type Entry, Outbox, type OutboxOptions, type Post, WINDOW } from "./outbox.js";

export type PublisherOptions = OutboxOptions &
  Required<Pick<ConnectionOptions, "batchBytes" | "batchDelay" | "compress" | "minDelay">>;

/** The session that the posts go into. */
export interface Session {
  readonly commands: Commands;
  /** Whether commands may go. */
  isOpen(): boolean;
  send(commands: Command[]): void;
  /** @throws WidecastError when a message of so many bytes cannot go. */
  checkSize(bytes: number): void;
}

export class Publisher extends Outbox {
  readonly #options: PublisherOptions;
  readonly #session: Session;
  #isFlushing = false;
  #batchTimer: ReturnType<typeof setTimeout> | undefined;
  #againTimer: ReturnType<typeof setTimeout> | undefined;
  /** How many bytes were posted since the last time that posts were sent. */
  #batchedBytes = 0;

  constructor(options: PublisherOptions, session: Session) {
    super(options, () => this.#flushSoon());
    this.#options = options;
    this.#session = session;
  }

  post(channel: string, message: Pick<Post, "id" | "event" | "encoded">): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      const encoded = compress(message.encoded, this.#options.compress);
      this.#batchedBytes += encoded.size;
      this.add({ channel, ...message, encoded, resolve, reject });
    });
  }

  /** The session is another: posts that were not answered are sent again. */
  override rewind(): void {
    super.rewind();
    this.#flush();
  }

  /** Sends the posts of one task together, or those within `batchDelay`. */
  #flushSoon(): void {
    const { batchDelay, batchBytes } = this.#options;
    if (batchDelay && this.#batchedBytes < batchBytes && this.size < WINDOW) {
      this.#batchTimer ??= setTimeout(() => this.#flush(), batchDelay);
    } else if (!this.#isFlushing) {
      this.#isFlushing = true;
      queueMicrotask(() => {
        this.#isFlushing = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    this.#batchedBytes = 0;
    if (!this.#session.isOpen()) return;
    const commands: Command[] = [];
    for (let entry: Entry | undefined; (entry = this.next()); ) {
      try {
        this.#session.checkSize(entry.encoded.size);
        commands.push(this.#command(entry));
      } catch (error) {
        this.remove(entry);
        entry.reject(error);
      }
    }
    this.#session.send(commands);
  }

  #command(entry: Entry): Command {
    const { channel, event, id, encoded } = entry;
    const command: Command = { type: "publish", channel, event, message_id: id, data: encoded.bytes };
    return this.#session.commands.numbered(command, ({ offset, epoch, retry_after_ms }, error) => {
      if (error && (error.retryable || !this.#session.isOpen())) return this.#again(entry, retry_after_ms);
      this.remove(entry);
      if (error) entry.reject(error);
      else entry.resolve({ offset: offset!, epoch: epoch! });
    });
  }

  /** The broker could not take it now, and may have said when it can. Those behind it that it refuses, too, go with it: in their order. */
  #again(entry: Entry, delay = this.#options.minDelay): void {
    this.hold(entry);
    clearTimeout(this.#againTimer);
    this.#againTimer = setTimeout(() => {
      this.resume();
      this.#flush();
    }, delay);
  }
}
