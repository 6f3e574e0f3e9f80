/**
 * The channels of a session, each with the listeners that hear it. Joins the channels, shows the broker a token for each where the
 * page has one, and hands the channels' frames on.
 */
import type { Commands } from "./commands.js";
import { WidecastError } from "./error.js";
import type { Command, Frame } from "./frames.js";
import type { Settings } from "./settings.js";
import { type Host, type Reader, Subscription, type Wish } from "./subscription.js";

/** Listens to a channel. */
export interface ChannelListener extends Reader {
  /** It will hear everything after the cursor. */
  joined(cursor: string): void;
  /** The broker does not let the listener in, or has put it out. */
  refused(error: unknown): void;
  status(reason: string): void;
}

/** The session in which the channels are joined. */
export interface Session {
  readonly commands: Commands;
  /** Whether commands may go. */
  isOpen(): boolean;
  /** Sends commands, and looks whether the session is still needed. */
  send(commands: Command[]): void;
  /** Joins a channel in another session, because this one cannot. */
  joinElsewhere(channel: string, listener: ChannelListener, wish: Wish): void;
  /** Tells the page of an error that no promise reports. */
  denied(error: unknown): void;
}

export class Subscriptions {
  readonly #options: Settings;
  readonly #session: Session;
  readonly #subscriptions = new Map<string, Subscription<ChannelListener>>();

  constructor(options: Settings, session: Session) {
    this.#options = options;
    this.#session = session;
  }

  get size(): number {
    return this.#subscriptions.size;
  }

  get readers(): ChannelListener[] {
    return [...this.#subscriptions.values()].flatMap(({ readers }) => readers);
  }

  /** Lets a listener hear a channel. */
  join(channel: string, listener: ChannelListener, wish: Wish): void {
    const present = this.#subscriptions.get(channel);
    const presence = present?.presence;
    // A session is listed once in a channel.
    if (presence && wish.presence && `${presence}` !== `${wish.presence}`)
      return this.#session.joinElsewhere(channel, listener, wish);
    const subscription = present ?? new Subscription(channel, this.#host);
    this.#subscriptions.set(channel, subscription);
    subscription.add(listener, wish);
  }

  /** Returns whether the listener heard the channel in this session. */
  leave(channel: string, listener: ChannelListener): boolean | undefined {
    return this.#subscriptions.get(channel)?.remove(listener);
  }

  /** The session has joined nothing yet, or nothing any more. */
  reset(): void {
    for (const subscription of this.#subscriptions.values()) subscription.reset();
  }

  /** Takes a frame that is about a channel. Returns whether somebody listens to the channel. */
  frame(frame: Frame): boolean {
    const { type, channel, code } = frame;
    const subscription = this.#subscriptions.get(channel!);
    if (!subscription) return false;
    if (type === "auth_required") {
      subscription.renew();
    } else if (type !== "unsubscribed") {
      subscription.frame(frame);
    } else if (code !== "kicked") {
      // A channel that has ended with a token may be had by the next one; if not, the refusal says more.
      subscription.reset();
    } else {
      const { readers } = subscription;
      this.#subscriptions.delete(channel!);
      subscription.end();
      for (const listener of readers) listener.refused(new WidecastError(code, `${type}: ${code}`));
    }
    return true;
  }

  /** Stands between the subscriptions and the session. */
  readonly #host: Host<ChannelListener, Wish> = {
    isOpen: () => this.#session.isOpen(),
    ask: async (question, answered) => {
      const { subscriptionToken, maxDelay } = this.#options;
      let token: string | undefined;
      if (subscriptionToken && question.type === "subscribe") {
        try {
          token = await subscriptionToken(question.channel);
        } catch (error) {
          this.#session.denied(error);
          return answered({ type: "error", retryable: true, retry_after_ms: Math.random() * maxDelay });
        }
        // The session has ended meanwhile, or waits for its own token: the question comes again.
        if (!this.#session.isOpen()) return;
      }
      this.#session.commands.ask({ ...question, token }, answered);
    },
    joined: (listener, _, begin) => {
      listener.joined(begin.cursor);
      if (!begin.recovered) listener.frame({ type: "gap", ...begin });
    },
    refused: (listener, wish, { code, message, retryable, retry_after_ms }, subscription) => {
      const { channel } = subscription;
      if (code === "too_many_channels") {
        subscription.remove(listener);
        this.#session.joinElsewhere(channel, listener, wish);
      } else if (retryable || !this.#session.isOpen()) {
        setTimeout(() => subscription.retry(listener), retry_after_ms ?? this.#options.minDelay);
      } else {
        listener.refused(new WidecastError(code!, message!, retryable));
      }
    },
    left: (subscription, isJoined) => {
      const { channel } = subscription;
      // A listener that is told of a refusal may have begun another.
      if (this.#subscriptions.get(channel) !== subscription) return;
      this.#subscriptions.delete(channel);
      this.#session.send(isJoined && this.#session.isOpen() ? [{ type: "unsubscribe", channel }] : []);
    },
  };
}
