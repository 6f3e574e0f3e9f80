/**
 * Delivery inside the browser: the native BroadcastChannel, one for each of ours, so that order, timing and cloning are the
 * native ones. Where there is none, the channels of this context still hear each other.
 */

/** What travels between the channels of a browser. */
export type LocalMessage = [id: string, event: string | undefined, data: unknown];

export interface LocalListener {
  message(message: LocalMessage, origin: string): void;
  /** The message could not be read here. */
  error(origin: string): void;
}

export interface Local {
  /** Channels of the same name hear each other. */
  readonly name: string;
  post(message: LocalMessage): void;
  close(): void;
}

/** Joins the channel of that name. */
export function openLocal(name: string, listener: LocalListener): Local {
  return NATIVE ? new NativeLocal(name, listener) : new ContextLocal(name, listener);
}

class NativeLocal implements Local {
  #channel!: BroadcastChannel;
  readonly #stop = new AbortController();

  constructor(
    readonly name: string,
    readonly listener: LocalListener,
  ) {
    this.#open();
    // A message for a page in the back/forward cache would throw it out. What it misses there it resumes from the broker.
    const cache = (type: string, handle: () => void): void =>
      globalThis.addEventListener?.(type, (event) => (event as PageTransitionEvent).persisted && handle(), {
        signal: this.#stop.signal,
      });
    cache("pagehide", () => this.#channel.close());
    cache("pageshow", () => this.#open());
  }

  post(message: LocalMessage): void {
    this.#channel.postMessage(message);
  }

  close(): void {
    this.#stop.abort();
    this.#channel.close();
  }

  #open(): void {
    this.#channel = new NATIVE(this.name);
    this.#channel.onmessage = ({ data, origin }: MessageEvent<LocalMessage>) => this.listener.message(data, origin);
    this.#channel.onmessageerror = ({ origin }) => this.listener.error(origin);
  }
}

/** Kept, since a page may put ours in its place. */
export const NATIVE = globalThis.BroadcastChannel;

class ContextLocal implements Local {
  static readonly #channels = new Map<string, Set<ContextLocal>>();
  readonly #peers: Set<ContextLocal>;

  constructor(
    readonly name: string,
    readonly listener: LocalListener,
  ) {
    const channels = ContextLocal.#channels;
    this.#peers = channels.get(name) ?? new Set();
    channels.set(name, this.#peers.add(this));
  }

  post([id, event, data]: LocalMessage): void {
    for (const peer of this.#peers) {
      if (peer === this) continue;
      const copy = structuredClone(data);
      setTimeout(() => {
        if (this.#peers.has(peer)) peer.listener.message([id, event, copy], globalThis.origin ?? "");
      });
    }
  }

  close(): void {
    this.#peers.delete(this);
  }
}
