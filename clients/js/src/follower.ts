/** A follower, as the leader's hub sees it. */
import type { Command } from "./frames.js";
import type { SessionHub } from "./session_hub.js";
import type { LineListener, LineState } from "./line.js";
import { NATIVE } from "./local.js";
import type { TransportName } from "./transports/index.js";

/** A message of the leader: how many posts it has taken, how its line is, and which events there were. */
export type News = [
  taken: number,
  state: LineState,
  transport: TransportName | undefined,
  events: [keyof LineListener, unknown][],
];

/** A message of a follower: for which opening of the line it is meant, when it was sent, and its commands; without any it asks to check the line. */
export type Order = [opens: number, at: number, commands: Command[]];

/** Serves a follower until the returned function is called. Orders that are older than `patience` ms have been given up. */
export function serve(hub: SessionHub, name: string, patience: number): () => void {
  const wire = new NATIVE(name);
  /** Brings a task of its own, which is not throttled in a hidden page as a timer is: all events until then are told in one post. */
  const { port1, port2 } = new MessageChannel();
  let [taken, opens] = [0, 0];
  let events: News[3] = [];
  const flush = (): void => {
    const { state, transport } = hub.line;
    wire.postMessage([taken, state, transport, events] satisfies News);
    events = [];
  };
  const tell = (kind: keyof LineListener, value: unknown): void => {
    if (events.push([kind, value]) === 1) port2.postMessage(0);
  };
  const follower: LineListener = {
    opened: (welcome) => {
      opens++;
      tell("opened", welcome);
    },
    frame: (frame) => tell("frame", frame),
    changed: (reason) => {
      flush();
      tell("changed", reason);
      flush();
    },
  };
  port1.onmessage = flush;
  wire.onmessage = ({ data: [meant, at, commands] }: MessageEvent<Order>) => {
    taken++;
    port2.postMessage(0);
    // Commands for an earlier session come again, behind those that have to come before them.
    if (meant !== opens) return;
    // Both tabs read one clock, at nearly the same time: it matters little if it is set.
    if (Date.now() - at > patience) hub.restart(follower);
    else if (commands.length) hub.send(follower, commands);
    else hub.line.check();
  };
  hub.add(follower);
  return () => {
    hub.remove(follower);
    wire.close();
    port1.close();
  };
}
