/**
 * One connection for all tabs of a browser. The tab that holds the Web Lock of that name is the leader: it has the connection, and
 * serves the others over native BroadcastChannels. When it is gone, the browser gives the lock to the next tab. To the others that is
 * a reconnect like any other.
 *
 * A follower holds a lock, too, of the name of the channel between both: the leader gets it when the follower is gone.
 */
import { SessionHub } from "./session_hub.js";
import type { Command } from "./frames.js";
import type { Dial, Line, LineListener, LineState } from "./line.js";
import { NATIVE } from "./local.js";
import { randomName } from "./random.js";
import { type News, type Order, serve } from "./follower.js";
import type { TransportName } from "./transports/index.js";

export class SharedLine implements Line {
  readonly #name: string;
  readonly #replyTimeout: number;
  readonly #dial: Dial;
  readonly #listener: LineListener;
  /** The state of the line: our own, or the leader's as it has said. */
  #view: Pick<Line, "state" | "transport"> = at("idle");
  /** Ends candidacy and leadership. */
  #stop!: AbortController;
  /** The channel of all tabs: followers say the names of their wires on it, and a new leader an empty one. */
  #bus!: BroadcastChannel;
  /** The wire to the leader, and a function that ends it. */
  #wire: BroadcastChannel | undefined;
  #unwire: () => void = () => {};
  /** The connection, if it is our own: as the leader, or alone because the leader does not answer. */
  #hub: SessionHub | undefined;
  /** How often the leader's line was opened for us, and how many posts it was sent. */
  #opens = 0;
  #sent = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Tabs with lines of the same name share the line that the leader's `dial` makes. */
  constructor(name: string, replyTimeout: number, dial: Dial, listener: LineListener) {
    this.#name = name;
    this.#replyTimeout = replyTimeout;
    this.#dial = dial;
    this.#listener = listener;
  }

  static get isAvailable(): boolean {
    return !!globalThis.navigator?.locks;
  }

  get state(): LineState {
    return this.#view.state;
  }

  get transport(): TransportName | undefined {
    return this.#view.transport;
  }

  open(): void {
    if (this.state === "idle") this.#stand();
    else this.#hub?.line.open();
  }

  suspend(): void {
    if (this.state !== "closed") this.#end("idle", "suspended");
  }

  close(reason: string): void {
    this.#end("closed", reason);
  }

  send(commands: Command[]): void {
    if (this.#hub) return this.#hub.send(this.#listener, commands);
    this.#sent++;
    this.#wire!.postMessage([this.#opens, Date.now(), commands] satisfies Order);
    this.#await();
  }

  check(): void {
    if (this.#hub) this.#hub.line.check();
    else if (this.#wire) this.send([]);
  }

  /** Stands for leader, and follows until it is. */
  #stand(): void {
    const bus = (this.#bus = new NATIVE(this.#name));
    bus.onmessage = ({ data }) => data || this.#greet();
    this.#stop = this.#hold(this.#name, () => {
      this.#unwire();
      this.#connect();
      bus.onmessage = ({ data }: MessageEvent<string>) => data && this.#welcome(data);
      bus.postMessage("");
    });
    this.#greet();
  }

  /**
   * Tries the connection again. A leader that has not got through yet stands back for the next tab, if there is one: the obstacle
   * may concern it alone, as the policy of its page does.
   */
  async #retry(): Promise<void> {
    const { line, hasOpened } = this.#hub!;
    // A tab with a hub and a wire is alone: the leader hangs.
    const { pending } = hasOpened || this.#wire ? {} : await navigator.locks.query();
    if (line.state !== "waiting" || !pending?.some(({ name }) => name === this.#name)) return line.open();
    this.#end("waiting", "");
    this.#stand();
  }

  /** Has the connection of its own from now on. */
  #connect(): void {
    if (this.#hub) return;
    this.#hub = new SessionHub(this.#dial, () => void this.#retry());
    this.#view = this.#hub.line;
    this.#hub.line.open();
    this.#hub.add(this.#listener);
  }

  /** Serves a new follower until it is gone, or this is no longer the leader. */
  #welcome(wire: string): void {
    const done = serve(this.#hub!, wire, this.#replyTimeout);
    navigator.locks.request(wire, { signal: this.#stop.signal }, done).catch(done);
  }

  /** Becomes a follower, or that of a new leader. */
  #greet(): void {
    this.#unwire();
    const name = randomName(16);
    const wire = (this.#wire = new NATIVE(name));
    wire.onmessage = ({ data }: MessageEvent<News>) => this.#hear(data);
    const held = this.#hold(name, () => this.#bus.postMessage(name));
    this.#unwire = () => {
      this.#rest();
      wire.close();
      held.abort();
      this.#wire = undefined;
    };
    this.#opens = this.#sent = 0;
    if (this.#hub) return;
    this.#view = at("connecting");
    this.#listener.changed("");
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
    this.#view = at(state, transport);
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

  /** Holds a lock from when it is given until it is aborted. Where there are none, everybody is alone. */
  #hold(name: string, got: () => void): AbortController {
    const stop = new AbortController();
    const { signal } = stop;
    const given = (): Promise<unknown> | undefined => {
      if (signal.aborted) return;
      got();
      return new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    // An error that is thrown at once is caught, too.
    const asked = (async () => navigator.locks.request(name, { signal }, given))();
    asked.catch(() => signal.aborted || this.#connect());
    return stop;
  }

  #end(state: LineState, reason: string): void {
    const before = this.state;
    this.#view = at(state);
    this.#stop?.abort();
    this.#unwire();
    this.#bus?.close();
    this.#hub?.close();
    this.#hub = undefined;
    if (state !== before) this.#listener.changed(reason);
  }
}

function at(state: LineState, transport?: TransportName): Pick<Line, "state" | "transport"> {
  return { state, transport };
}
