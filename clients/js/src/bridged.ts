/**
 * A transport in a frame of the broker's own page, for a page that may not connect to the broker but may frame it. The frame
 * has the transport; this module relays, over a port that is handed to the broker's origin and to no other.
 */
import type { Frame } from "./frames.js";
import type { Transport, TransportName, TransportType } from "./transports/index.js";
import type { Parcel } from "./upload.js";

/** The request that comes with the port: to open a transport, or to upload a message. */
export type BridgeRequest = [what: TransportName | "upload", sender: string, parcel?: Parcel];

/**
 * A message of the frame: the broker's frames, or how many bytes of an upload have left, of how many (an empty one is a sign of life);
 * the last says why the transport has ended, or is the answer to the upload.
 */
export type BridgeAnswer = Frame[] | number[] | string;

/** How long the frame's script may take to answer when it is there, in milliseconds. */
const PATIENCE = 3000;

/** The same transport, in a frame. */
export const bridged = (type: TransportType): TransportType => ({
  ...type,
  open: ({ base, sender }, listener) => throughBridge([type.name, sender], base, listener),
});

/** Hears the messages of the frame. */
interface BridgeListener<News> {
  frames(news: News[]): void;
  closed(reason: string): void;
}

/** Has a frame do something until it is done or closed. */
export function throughBridge<News>(request: BridgeRequest, base: URL, listener: BridgeListener<News>): Transport {
  // The broker answers if all pages that will be around its own may use it.
  const url = `${base}bridge.html?origin=${[origin, ...(location.ancestorOrigins ?? [])].join("&origin=")}`;
  const frame = document.createElement("iframe");
  const { port1, port2 } = new MessageChannel();
  let timer: number;
  const close = (): void => {
    clearTimeout(timer);
    port1.onmessage = null;
    port1.close();
    frame.remove();
  };
  const end = (reason: string): void => {
    close();
    listener.closed(reason);
  };
  port1.onmessage = ({ data }: MessageEvent<News[] | string>) => {
    clearTimeout(timer);
    if (typeof data === "string") end(data);
    else listener.frames(data);
  };
  frame.onload = () => {
    // Loaded again, it knows nothing of the port.
    frame.onload = () => end(`${url} does not answer: is ${origin} in server.allowed_origins?`);
    timer = window.setTimeout(frame.onload, PATIENCE);
    frame.contentWindow!.postMessage(request, base.origin, [port2]);
  };
  frame.style.display = "none";
  frame.src = url;
  document.documentElement.append(frame);
  return {
    // While the frame is, it gives signs of life.
    busy: false,
    send: (commands) => port1.postMessage(commands),
    close,
  };
}
