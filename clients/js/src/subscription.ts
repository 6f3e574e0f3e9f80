/** A channel that a connection has joined, for all who listen to it in this context. */
import type { Plain } from "./codec/index.js";
import type { Frame } from "./frames.js";

/** Who listens to a channel. */
export interface ChannelListener {
  message(frame: Frame): void;
  /** Messages were lost; the channel goes on after the cursor. */
  gap(cursor: string): void;
  member(type: "join" | "leave", frame: Frame): void;
  joined(): void;
  /** The broker does not let it in, or has put it out. */
  refused(error: unknown): void;
  status(reason: string): void;
}

/** What a listener wants of the broker besides messages. */
export interface Wish {
  /** Be listed as a member with this data. */
  presence?: Plain | undefined;
  /** How many of the newest past messages to hear first. */
  history?: number | undefined;
  /** Where to resume. */
  cursor?: string | undefined;
}

export class Subscription {
  readonly listeners = new Set<ChannelListener>();
  cursor: string | undefined;
  presence: Plain | undefined;
  history: number | undefined;
  joined = false;

  constructor(readonly channel: string) {}

  /** Takes over what a listener wants; returns whether the broker has to be told. */
  wish({ presence, history, cursor }: Wish): boolean {
    const more = (presence && !this.presence) || (!this.joined && (history || cursor));
    this.presence ??= presence;
    this.history ??= history;
    this.cursor ??= cursor;
    return !!more;
  }

  /** The answer to a subscription, or what a gap says. */
  begin({ cursor, recovered, type }: Frame): void {
    const resumed = type === "gap" || !!this.cursor;
    const [epoch, offset] = cursor!.split("-");
    // What came while it was asked for is sent again, and was heard.
    if (this.#isAhead(epoch, Number(offset))) this.cursor = cursor;
    this.history = undefined;
    if (!this.joined && type === "subscribed") {
      this.joined = true;
      this.#each((listener) => listener.joined());
    }
    if (recovered === false && resumed) this.#each((listener) => listener.gap(cursor!));
  }

  /** A message; one that was heard before the connection was lost is not heard again. */
  message(frame: Frame): void {
    if (!this.#isAhead(frame.epoch, frame.offset!)) return;
    frame.cursor = this.cursor = `${frame.epoch}-${frame.offset}`;
    this.#each((listener) => listener.message(frame));
  }

  member(frame: Frame): void {
    this.#each((listener) => listener.member(frame.type as "join" | "leave", frame));
  }

  refuse(error: unknown): void {
    this.joined = false;
    this.#each((listener) => listener.refused(error));
  }

  status(reason: string): void {
    this.#each((listener) => listener.status(reason));
  }

  #isAhead(epoch: string | undefined, offset: number): boolean {
    const [present, heard] = this.cursor?.split("-") ?? [];
    return epoch !== present || offset > Number(heard);
  }

  /** Those who come while it is told are not told. */
  #each(tell: (listener: ChannelListener) => void): void {
    for (const listener of [...this.listeners]) if (this.listeners.has(listener)) tell(listener);
  }
}
