/**
 * One connection for all tabs of a browser. Whoever holds the Web Lock of that name is the leader, has the connection, and
 * serves the others over native BroadcastChannels; when it goes, in whatever way, the browser gives the lock to the next. To
 * the others that is a reconnect like any other.
 *
 * A follower is known by a lock of its own, which the leader waits for: it gets it when the follower is gone.
 */
import { Hub } from "./hub.js";
import type { Line, LineListener, LineState } from "./line.js";
import { NATIVE } from "./local.js";
import { randomName } from "./random.js";
import { type News, Remote } from "./remote.js";
import type { TransportName } from "./transports/index.js";

/** On the channel that all have: a follower's greeting, or, by null, that of a new leader. */
type Greeting = [wire: string, life: string] | null;

export class TabLine implements Line {
  readonly #name: string;
  readonly #replyTimeout: number;
  readonly #dial: (listener: LineListener) => Line;
  readonly #listener: LineListener;
  #state: LineState = "idle";
  #transport: TransportName | undefined;
  /** Ends when the locks are to be given up. */
  #stop = new AbortController();
  #life = "";
  #bus: BroadcastChannel | undefined;
  /** To the leader. */
  #wire: BroadcastChannel | undefined;
  /** The connection, if it is our own: as the leader, or alone because the leader does not answer. */
  #hub: Hub | undefined;
  #leads = false;
  readonly #remotes = new Map<string, Remote>();
  /** How often the leader's line was opened for us, and how many posts it was sent. */
  #opens = 0;
  #sent = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Tabs with lines of the same name share what the leader's `dial` makes. */
  constructor(name: string, replyTimeout: number, dial: (listener: LineListener) => Line, listener: LineListener) {
    this.#name = name;
    this.#replyTimeout = replyTimeout;
    this.#dial = dial;
    this.#listener = {
      opened: (welcome) => listener.opened(welcome),
      frame: (frame) => listener.frame(frame),
      changed: (reason) => {
        listener.changed(reason);
        // Not before the others have heard of it.
        if (this.state === "closed") queueMicrotask(() => this.#leave("closed"));
      },
    };
  }

  static get isAvailable(): boolean {
    return !!NATIVE && !!globalThis.navigator?.locks;
  }

  get state(): LineState {
    return this.#hub?.line.state ?? this.#state;
  }

  get transport(): TransportName | undefined {
    return this.#hub ? this.#hub.line.transport : this.#transport;
  }

  open(): void {
    if (this.#hub) return this.#hub.line.open();
    if (this.state !== "idle") return;
    const { signal } = (this.#stop = new AbortController());
    this.#life = randomName(16);
    this.#state = "connecting";
    this.#bus = new NATIVE(this.#name);
    this.#bus.onmessage = ({ data }: MessageEvent<Greeting>) => {
      if (this.#leads) data && this.#welcome(...data);
      else if (!data) this.#greet();
    };
    const refused = (): void => void (signal.aborted || this.#connect());
    hold(this.#name, signal, () => this.#lead()).catch(refused);
    hold(this.#life, signal, () => this.#hub || this.#greet()).catch(refused);
    this.#listener.changed("");
  }

  suspend(): void {
    if (this.state !== "closed") this.#end("idle", "suspended");
  }

  close(reason: string): void {
    this.#end("closed", reason);
  }

  send(commands: Uint8Array<ArrayBuffer>[]): void {
    if (this.#hub) return this.#hub.send(this.#listener, commands);
    this.#sent++;
    this.#wire!.postMessage([this.#opens, Date.now(), commands]);
    this.#await();
  }

  check(): void {
    if (this.#hub) this.#hub.line.check();
    else if (this.#wire) this.send([]);
  }

  /** Has the connection of its own from now on. */
  #connect(): void {
    if (this.#hub) return;
    this.#hub = new Hub(this.#dial);
    this.#hub.line.open();
    this.#hub.add(this.#listener);
  }

  #lead(): void {
    this.#leads = true;
    this.#unwire();
    this.#connect();
    this.#bus!.postMessage(null);
  }

  /** The leader has a new follower, or one that begins anew. */
  #welcome(wire: string, life: string): void {
    const known = this.#remotes.get(life);
    known?.close();
    this.#remotes.set(life, new Remote(this.#hub!, wire, this.#replyTimeout));
    if (known) return;
    const gone = (): void => {
      this.#remotes.get(life)?.close();
      this.#remotes.delete(life);
    };
    navigator.locks.request(life, { signal: this.#stop.signal }, gone).catch(() => {});
  }

  /** Becomes a follower, or that of a new leader. */
  #greet(): void {
    this.#unwire();
    const name = randomName(16);
    this.#wire = new NATIVE(name);
    this.#wire.onmessage = ({ data }: MessageEvent<News>) => this.#hear(data);
    this.#opens = this.#sent = 0;
    this.#bus!.postMessage([name, this.#life]);
    if (this.#hub) return;
    this.#state = "connecting";
    this.#transport = undefined;
    this.#listener.changed("another tab connects");
    this.#await();
  }

  #hear([taken, state, transport, events]: News): void {
    if (this.#hub) {
      // It was alone until the leader answers.
      if (!events.some(([kind]) => kind === "opened")) return;
      this.#hub.close();
      this.#hub = undefined;
    }
    if (taken === this.#sent) this.#rest();
    this.#state = state;
    this.#transport = transport;
    for (const [kind, value] of events) {
      if (kind === "opened") this.#opens++;
      this.#listener[kind](value as never);
    }
  }

  /** A leader that holds its lock and does not answer hangs. */
  #await(): void {
    this.#timer ??= setTimeout(() => {
      this.#connect();
      this.#greet();
    }, this.#replyTimeout);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #unwire(): void {
    this.#rest();
    this.#wire?.close();
    this.#wire = undefined;
  }

  #end(state: LineState, reason: string): void {
    this.#leave(state);
    this.#listener.changed(reason);
  }

  #leave(state: LineState): void {
    this.#state = state;
    this.#transport = undefined;
    this.#stop.abort();
    this.#leads = false;
    this.#unwire();
    this.#bus?.close();
    for (const remote of this.#remotes.values()) remote.close();
    this.#remotes.clear();
    this.#hub?.close();
    this.#hub = undefined;
  }
}

/** Keeps a lock from when it is ours until the signal. */
async function hold(name: string, signal: AbortSignal, got: () => void): Promise<void> {
  await navigator.locks.request(name, { signal }, () => {
    if (signal.aborted) return;
    got();
    return new Promise((resolve) => signal.addEventListener("abort", resolve));
  });
}
