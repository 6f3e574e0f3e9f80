/** A line leads a connection to its broker: by an own transport, by another tab that has one, or by a frame that is nearer to the broker. */
import type { ConnectionState, TransportName } from "./api.js";
import type { Command, Frame } from "./frames.js";

export type LineState = ConnectionState;

export interface Line {
  readonly state: LineState;
  /** The transport that carries it in the end, when it is open. */
  readonly transport: TransportName | undefined;
  /** Connects now, if it is not connected: also out of a wait. */
  open(): void;
  /** Ends the connection; `open` begins a new one. */
  suspend(): void;
  /** Ends it for good. */
  close(reason: string): void;
  /** Sends commands, while it is open; they are lost when the connection ends before the broker has them. */
  send(commands: Command[]): void;
  /** Finds out whether the other end is still there. */
  check(): void;
}

/** Makes a line. `retry` is called instead of `open` when the wait for the next attempt is over. */
export type Dial = (listener: LineListener, retry?: () => void) => Line;

export interface LineListener {
  /** A session has begun; nothing of an older one holds. */
  opened(welcome: Frame): void;
  frame(frame: Frame): void;
  /** The state or the transport is another. */
  changed(reason: string): void;
}
