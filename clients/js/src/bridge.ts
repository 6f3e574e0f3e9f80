/**
 * The page in the frame, `/bridge.html`: lends the page around it, which cannot reach the broker by itself, its transports. The
 * broker has judged the origin of that page, and has written it into this one: a port is taken from nobody else.
 */
import type { BridgeAnswer, BridgeRequest } from "./bridged.js";
import type { Frame } from "./frames.js";
import { TRANSPORTS, type Target, type Transport, type TransportName } from "./transports/index.js";
import type { Listener } from "./transports/transport.js";
import { directly } from "./upload.js";

/** How often the page is told that its commands are still on their way, in milliseconds. */
const INTERVAL = 1000;

const PARENT = document.currentScript!.dataset["parent"];

addEventListener("message", ({ data, origin, source, ports: [port] }: MessageEvent<BridgeRequest>) => {
  if (!port) return;
  if (origin === PARENT && source === parent) serve(port, data);
  else console.warn(`a port from a page of ${origin} was not taken: this bridge is for the page of ${PARENT} around it`);
});

function serve(port: MessagePort, [what, sender, parcel]: BridgeRequest): void {
  const tell = (answer: BridgeAnswer): void => port.postMessage(answer);
  const platform = { WebSocket, fetch: fetch.bind(globalThis) };
  const target = { base: new URL("./", location.href), sender, platform, withCredentials: false };
  // The frame is removed or loaded again. When it crashes instead, the heartbeat tells.
  addEventListener("pagehide", () => tell("the frame of the bridge is gone"));
  // The frame is there: whatever takes time from now on is the broker.
  tell([]);
  if (parcel)
    directly(parcel, target, new AbortController().signal, (...progress) => tell(progress)).then(tell, (error) =>
      tell(String(error)),
    );
  else carry(port, what as TransportName, target, tell);
}

/** Relays a transport. */
function carry(port: MessagePort, name: TransportName, target: Target, tell: (answer: BridgeAnswer) => void): void {
  const heard: Frame[] = [];
  const pass = (): void => tell(heard.splice(0));
  const listener: Listener = {
    // Frames that come together are told together: their payloads are parts of one buffer, which is copied as a whole.
    frames(frames) {
      if (heard.push(...frames) === frames.length) queueMicrotask(pass);
    },
    closed(reason) {
      pass();
      tell(reason);
    },
  };
  port.onmessage = ({ data }: MessageEvent<Uint8Array<ArrayBuffer>[]>) => transport.send(data);
  let transport: Transport;
  try {
    transport = TRANSPORTS.find((type) => type.name === name)!.open(target, listener);
    setInterval(() => transport.busy && tell([]), INTERVAL);
  } catch (error) {
    tell(String(error));
  }
}
