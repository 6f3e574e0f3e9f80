/**
 * A transport in a frame of the broker's own page, for a page that may not connect to the broker but may frame it. The frame
 * carries; what is here relays, over a port that is handed to the broker's origin and to no other.
 */
import type { Frame } from "./frames.js";
import type { TransportName, TransportType } from "./transports/index.js";

/** What comes with the port. */
export type BridgeRequest = [TransportName, sender: string];

/** What the frame tells: what the broker says (nothing is a sign of life), or why the transport has ended. */
export type BridgeAnswer = Frame[] | string;

/** How long the frame's script may take to answer when it is there. */
const PATIENCE = 3000;

/** The same transport, in a frame. */
export const bridged = (type: TransportType): TransportType => ({
  ...type,
  open({ base, sender }, listener) {
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
    port1.onmessage = ({ data }: MessageEvent<BridgeAnswer>) => {
      clearTimeout(timer);
      if (typeof data === "string") end(data);
      else listener.frames(data);
    };
    frame.onload = () => {
      // Loaded again, it knows nothing of the port.
      frame.onload = () => end(`${url} does not answer: is ${origin} in server.allowed_origins?`);
      timer = window.setTimeout(frame.onload, PATIENCE);
      frame.contentWindow!.postMessage([type.name, sender] satisfies BridgeRequest, base.origin, [port2]);
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
  },
});
