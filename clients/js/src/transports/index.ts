import { poll } from "./poll.js";
import { jsonp, sse } from "./scripted.js";
import { stream } from "./stream.js";
import type { TransportType } from "./transport.js";
import { websocket } from "./websocket.js";

export { address, request } from "./transport.js";
export type { Platform, Target, Transport, TransportName, TransportType } from "./transport.js";

/** Every transport, the best first. */
export const TRANSPORTS: readonly TransportType[] = [websocket, sse, stream, poll, jsonp];
