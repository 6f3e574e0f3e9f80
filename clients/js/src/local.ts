/**
 * Delivery inside the browser: the native BroadcastChannel, one for each of ours, so that order, timing and cloning are the
 * native ones.
 */

/** A message between the channels of a browser; the broker is that of the sender, if it is sure of it. */
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
  #isHeard = false;

  constructor(name: string, listener: LocalListener) {
    this.#name = name;
    this.#listener = listener;
    this.#open();
    for (const type of CACHING) globalThis.addEventListener?.(type, this);
  }

  /** A message for a page in the back/forward cache would throw it out. The page resumes from the broker the messages that it misses there. */
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
    // The last posts of a page that goes are heard, too.
    if (!this.#channel) channel.close();
  }

  close(): void {
    for (const type of CACHING) globalThis.removeEventListener?.(type, this);
    this.#channel?.close();
  }

  /** Begins or ends to hear messages; while nobody hears them, none is read. */
  listen(isHeard: boolean): void {
    this.#isHeard = isHeard;
    const channel = this.#channel;
    if (!channel) return;
    channel.onmessage = isHeard ? ({ data, origin }: MessageEvent<LocalMessage>) => this.#listener.message(data, origin) : null;
    channel.onmessageerror = isHeard ? ({ origin }) => this.#listener.error?.(origin) : null;
  }

  #open(): void {
    this.#channel = new NATIVE(this.#name);
    this.listen(this.#isHeard);
  }
}

const CACHING = ["pagehide", "pageshow"];

const present = globalThis.BroadcastChannel as typeof BroadcastChannel & { native?: typeof BroadcastChannel };

/** Kept, since a page may put ours in its place; another copy of this script may have done so already. */
export const NATIVE = present.native ?? present;
