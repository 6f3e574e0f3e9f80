/**
 * Delivery inside the browser: the native BroadcastChannel, one for each of ours, so that order, timing and cloning are the
 * native ones.
 */

/** What travels between the channels of a browser; the broker is that of the sender, if it is sure of it. */
export type LocalMessage = [id: string, event?: string | undefined, data?: unknown, broker?: string | undefined];

export interface LocalListener {
  message(message: LocalMessage, origin: string): void;
  /** The message could not be read here. */
  error?(origin: string): void;
  /** Messages have been missed here. */
  missed(): void;
}

/** Local channels of the same name hear each other. */
export class Local implements EventListenerObject {
  readonly #name: string;
  readonly #listener: LocalListener;
  /** None while the page is in the back/forward cache, or on its way. */
  #channel: BroadcastChannel | undefined;

  constructor(name: string, listener: LocalListener) {
    this.#name = name;
    this.#listener = listener;
    this.#open();
    for (const type of CACHING) globalThis.addEventListener?.(type, this);
  }

  /** A message for a page in the back/forward cache would throw it out. What it misses there it resumes from the broker. */
  handleEvent(event: Event): void {
    if (!(event as PageTransitionEvent).persisted) return;
    if (event.type === "pagehide") {
      this.#channel?.close();
      this.#channel = undefined;
    } else {
      this.#open();
      this.#listener.missed();
    }
  }

  post(message: LocalMessage): void {
    const channel = this.#channel ?? new NATIVE(this.#name);
    channel.postMessage(message);
    // What a page says as it goes is heard, too.
    if (!this.#channel) channel.close();
  }

  close(): void {
    for (const type of CACHING) globalThis.removeEventListener?.(type, this);
    this.#channel?.close();
  }

  #open(): void {
    const channel = (this.#channel = new NATIVE(this.#name));
    channel.onmessage = ({ data, origin }: MessageEvent<LocalMessage>) => this.#listener.message(data, origin);
    channel.onmessageerror = ({ origin }) => this.#listener.error?.(origin);
  }
}

const CACHING = ["pagehide", "pageshow"];

const present = globalThis.BroadcastChannel as typeof BroadcastChannel & { native?: typeof BroadcastChannel };

/** Kept, since a page may put ours in its place; another copy of this script may have done so already. */
export const NATIVE = present && "native" in present ? present.native! : present;
