/** What leads a connection to its broker: an own transport, another tab that has one, or a frame that is nearer to it. */
import type { ConnectionState, TransportName } from "./api.js";
import type { Frame } from "./frames.js";

export type LineState = ConnectionState;

export interface Line {
  readonly state: LineState;
  /** What carries it at last, when it is open. */
  readonly transport: TransportName | undefined;
  /** Connects now, if it is not connected: also out of a wait. */
  open(): void;
  /** Ends the connection; `open` begins a new one. */
  suspend(): void;
  /** Ends it for good. */
  close(reason: string): void;
  /** Sends commands, while it is open; they are lost when the connection ends before the broker has them. */
  send(commands: Uint8Array<ArrayBuffer>[]): void;
  /** Finds out whether the other end is still there. */
  check(): void;
}

/** Makes a line. `retry`: what to do, instead of `open`, when the wait for the next attempt is over. */
export type Dial = (listener: LineListener, retry?: () => void) => Line;

export interface LineListener {
  /** A session has begun; nothing of an older one holds. */
  opened(welcome: Frame): void;
  frame(frame: Frame): void;
  /** The state or the transport is another. */
  changed(reason: string): void;
}
