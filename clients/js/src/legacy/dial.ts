/** Opens a transport and looks after it: it has to bring the welcome soon, and then something every now and then. */
import { type Address, type Frame, TRANSPORTS, type Transport } from "./transports.js";

export interface Caller {
  /** It gets through: a session has begun. */
  welcomed(transport: Transport): void;
  frame(frame: Frame): void;
  /** It has ended, or did not get through; the last that is told. `delay` says when to come back, if it was not for trouble. */
  ended(reason: string, delay?: number): void;
}

/** The reason of an end that was not told. */
export var SILENCE = "the broker is silent";

/** Opens a transport; returns a function that ends it without a word. */
export function dial(name: string, address: Address, connectTimeout: number, caller: Caller): () => void {
  var isOver = false;
  var timer: ReturnType<typeof setTimeout>;
  var stop = (): void => {
    isOver = true;
    clearTimeout(timer);
    transport.close();
  };
  var end = (reason: string, delay?: number): void => {
    if (isOver) return;
    stop();
    caller.ended(reason, delay);
  };
  var expect = (within: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => end(SILENCE), within);
  };
  var patience = connectTimeout;
  expect(patience);
  var transport = TRANSPORTS[name]!(address, {
    frames: (frames) => {
      if (isOver) return;
      frames.forEach((frame) => {
        if (isOver) return;
        if (frame.type !== "welcome") return caller.frame(frame);
        // The broker shows that it is there once in such a time, in streams and in polls.
        patience = frame["heartbeat_ms"] * 2;
        caller.welcomed(transport);
      });
      if (!isOver) expect(patience);
    },
    closed: end,
  });
  return stop;
}
