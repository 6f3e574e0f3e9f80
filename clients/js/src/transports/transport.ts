/** The interface of a transport, which carries commands to the broker and frames back. */
import type { TransportName } from "../api.js";
import type { Frame } from "../frames.js";

export type { TransportName };

/** The parts of the platform that transports are made of; where one is missing, its transport is not tried. */
export interface Platform {
  WebSocket?: typeof WebSocket | undefined;
  fetch?: typeof fetch | undefined;
}

/** The broker that a transport leads to, and the sender's name there. */
export interface Target {
  /** The broker's address, with a slash at its end. */
  base: URL;
  sender: string;
  platform: Platform;
  /** Whether the browser sends its cookies to a broker of another origin. */
  withCredentials: boolean | undefined;
}

/** Hears a transport, which tells nothing after `closed`. */
export interface Listener {
  /** Frames have come; none is a sign of life. */
  frames(frames: Frame[]): void;
  closed(reason: string): void;
}

export interface Transport {
  /** Whether something that was sent has not left yet. */
  readonly busy: boolean;
  /** Sends commands, in this order and after all before. */
  send(commands: Uint8Array<ArrayBuffer>[]): void;
  /** Ends it; the listener is told no more. */
  close(): void;
}

export interface TransportType {
  name: TransportName;
  /** Whether it is for where nothing else gets through, even when it was the last that did. */
  isLastResort?: boolean;
  /** Whether the platform can do it; every platform can, if this is left out. */
  available?(platform: Platform): boolean;
  open(target: Target, listener: Listener): Transport;
}

/**
 * The address of an endpoint, with the sender's name. A session hears its own messages, too: the tabs that share it, and the channels
 * of each, are one sender to the broker, and know their own messages by the ids.
 */
export function address(target: Target, path: string, parameters: Record<string, string> = {}): URL {
  const url = new URL(path, target.base);
  url.search = String(new URLSearchParams({ ...parameters, sender: target.sender, echo: "true" }));
  return url;
}

/** Sends a request to an endpoint. */
export const request = (target: Target, path: string, parameters: Record<string, string>, init: RequestInit): Promise<Response> =>
  target.platform.fetch!(address(target, path, parameters), {
    credentials: target.withCredentials ? "include" : undefined,
    ...init,
  });

/** The most commands that go into one frame or body: less than the broker's least limit that makes sense. */
const COMMANDS_AT_ONCE = 64;
/** The most bytes of commands in one frame or body, unless one alone is larger. */
export const BYTES_AT_ONCE = 512 * 1024;

/** Takes as many commands from the front of a queue as may go together. */
export function takeSome(queue: Uint8Array<ArrayBuffer>[], bytesAtOnce = BYTES_AT_ONCE): Uint8Array<ArrayBuffer>[] {
  let bytes = queue[0]?.length ?? 0;
  let count = 1;
  while (count < COMMANDS_AT_ONCE && count < queue.length && (bytes += queue[count]!.length) <= bytesAtOnce) count++;
  return queue.splice(0, count);
}
