/** A follower, as the leader's hub sees it. */
import type { Frame } from "./frames.js";
import type { Hub } from "./hub.js";
import type { LineListener, LineState } from "./line.js";
import { NATIVE } from "./local.js";
import type { TransportName } from "./transports/index.js";

/** What the leader says: how many posts it has taken, how its line is, and what happened there. */
export type News = [taken: number, state: LineState, transport: TransportName | undefined, events: [keyof LineListener, unknown][]];

/** What a follower says: for which opening of the line, when, and its commands; none asks to check the line. */
type Order = [opens: number, at: number, commands: Uint8Array<ArrayBuffer>[]];

export class Remote implements LineListener {
  readonly #hub: Hub;
  readonly #wire: BroadcastChannel;
  /** Brings a task of its own, which is not throttled in a page that nobody sees as a timer is. */
  readonly #task = new MessageChannel();
  #events: News[3] = [];
  #taken = 0;
  #opens = 0;

  /** Commands that are older than `patience` milliseconds have been given up. */
  constructor(hub: Hub, wire: string, patience: number) {
    this.#hub = hub;
    this.#wire = new NATIVE(wire);
    this.#task.port1.onmessage = () => this.#flush();
    this.#wire.onmessage = ({ data: [opens, at, commands] }: MessageEvent<Order>) => {
      this.#taken++;
      this.#task.port2.postMessage(0);
      // What was meant for an earlier session comes again, and with it what has to come before it.
      if (opens !== this.#opens) return;
      if (Date.now() - at > patience) hub.restart(this);
      else if (commands.length) hub.send(this, commands);
      else hub.line.check();
    };
    hub.add(this);
  }

  opened(welcome: Frame): void {
    this.#opens++;
    this.#tell("opened", welcome);
  }

  frame(frame: Frame): void {
    this.#tell("frame", frame);
  }

  changed(reason: string): void {
    this.#flush();
    this.#tell("changed", reason);
    this.#flush();
  }

  close(): void {
    this.#hub.remove(this);
    this.#wire.close();
    this.#task.port1.close();
  }

  /** What happens before the task is told in one post. */
  #tell(kind: keyof LineListener, value: unknown): void {
    if (this.#events.push([kind, value]) === 1) this.#task.port2.postMessage(0);
  }

  #flush(): void {
    const { state, transport } = this.#hub.line;
    this.#wire.postMessage([this.#taken, state, transport, this.#events] satisfies News);
    this.#events = [];
  }
}
