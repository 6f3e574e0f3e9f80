/** BroadcastChannel for the whole network: the browser client of Widecast. */
export { connect } from "./broker.js";
export type { TokenSource } from "./authentication.js";
export {
  type ChannelOptions,
  type HistoryQuery,
  type Member,
  type PastMessage,
  WidecastChannel,
} from "./channel.js";
export type { Code } from "./codes.js";
export type { Connection, ConnectionOptions } from "./connection.js";
export { WidecastError } from "./error.js";
export type { LineState as ConnectionState } from "./line.js";
export type { Receipt } from "./outbox.js";
export type { TransportName } from "./transports/index.js";
export type { UploadOptions } from "./upload.js";
