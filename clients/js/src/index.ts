/** BroadcastChannel for the whole network: the browser client of Widecast. */
import type { Connect, WidecastChannel as Channel, WidecastChannelConstructor } from "./api.js";
import { connect as connectTo } from "./broker.js";
import { WidecastChannel as ChannelClass } from "./channel.js";

export type * from "./api.js";
export type { Code } from "./codes.js";
export { WidecastError } from "./error.js";
export const connect: Connect = connectTo;
export type WidecastChannel<Data = any> = Channel<Data>;
export const WidecastChannel: WidecastChannelConstructor = ChannelClass;
