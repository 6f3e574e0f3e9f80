/** What the types promise to who writes TypeScript: compiled by `npm run types`, never run. */
import { expectTypeOf } from "vitest";
import OtherWebSocket from "ws";
import {
  type ChannelOptions,
  type Code,
  connect,
  type Connection,
  type ConnectionOptions,
  type ConnectionState,
  type Member,
  type PastMessage,
  type Receipt,
  type Status,
  type TokenSource,
  type TransportName,
  type UploadOptions,
  WidecastChannel,
  WidecastError,
} from "../src/index.js";

const channel = new WidecastChannel("news");

// Code for BroadcastChannel is code for this.
channel satisfies BroadcastChannel;
const taken: BroadcastChannel = channel;
taken.addEventListener("message", (event: MessageEvent<string>) => event.data.length);
// And the class can take its place.
globalThis.BroadcastChannel = WidecastChannel as unknown as typeof BroadcastChannel;
expectTypeOf(channel.onmessage).parameter(0).toExtend<MessageEvent>();
expectTypeOf(channel.name).toEqualTypeOf<string>();
// @ts-expect-error -- a name is not set
channel.name = "other";
// @ts-expect-error -- a channel has a name
new WidecastChannel();
channel.onmessage = function (event) {
  expectTypeOf(this).toEqualTypeOf<WidecastChannel>();
  expectTypeOf(event).toExtend<MessageEvent>();
};
channel.onmessage = null;
// @ts-expect-error -- a handler is a function
channel.onmessage = "handler";

expectTypeOf(channel.ready).toEqualTypeOf<Promise<void>>();
expectTypeOf(channel.publish({ at: new Date() }, { event: "e" })).toEqualTypeOf<Promise<Receipt>>();
expectTypeOf(channel.upload(new Blob(["x"]))).toEqualTypeOf<Promise<Receipt>>();
expectTypeOf(channel.history({ since: "e-1", limit: 2 })).toEqualTypeOf<Promise<PastMessage<any>[]>>();
expectTypeOf(channel.presence()).toEqualTypeOf<Promise<Member[]>>();
expectTypeOf<Receipt>().toEqualTypeOf<{ offset: number; epoch: string }>();
expectTypeOf<PastMessage["data"]>().toBeUnknown();
expectTypeOf<Member["data"]>().toBeUnknown();
expectTypeOf(channel.connection).toEqualTypeOf<Connection | undefined>();
// @ts-expect-error -- an event has a name, not a number
void channel.publish(1, { event: 1 });

expectTypeOf<UploadOptions>().toExtend<{
  event?: string | undefined;
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
}>();
void channel.upload(new FormData(), { onprogress: ({ loaded, total }) => expectTypeOf(loaded / total).toBeNumber() });

expectTypeOf<TransportName>().toEqualTypeOf<"websocket" | "sse" | "stream" | "poll" | "jsonp">();
expectTypeOf<ConnectionState>().toEqualTypeOf<"idle" | "connecting" | "open" | "waiting" | "closed">();
expectTypeOf<TokenSource>().extract<string>().toBeString();
const options: ConnectionOptions = {
  transports: ["websocket", "poll"],
  token: async () => "secret",
  batchDelay: 5,
  batchBytes: 1000,
  maxAttempts: Infinity,
};
const connection = connect("https://broker.example", options);
expectTypeOf(connection).toEqualTypeOf<Connection>();
expectTypeOf(connection.state).toEqualTypeOf<ConnectionState>();
expectTypeOf(connection.transport).toEqualTypeOf<TransportName | undefined>();
expectTypeOf(connection.queued).toBeNumber();
expectTypeOf(connection.authenticate("token")).toEqualTypeOf<Promise<void>>();
// @ts-expect-error -- there is no such transport
connect("https://broker.example", { transports: ["carrier pigeon"] });
// @ts-expect-error -- nor such an option
connect("https://broker.example", { retries: 3 });
new WidecastChannel("news", { broker: connection, order: "broker", presence: { name: "Ann" }, history: 5, cursor: "e-1" });
expectTypeOf<ChannelOptions["order"]>().toEqualTypeOf<"local" | "broker" | undefined>();

// Listeners, as the documentation shows them.
channel.addEventListener("status", ({ detail }) => {
  expectTypeOf(detail).toEqualTypeOf<Status>();
  expectTypeOf(detail.transport).toEqualTypeOf<TransportName | undefined>();
});
channel.addEventListener("gap", ({ lastEventId }) => expectTypeOf(lastEventId).toBeString());
channel.addEventListener("join", ({ data }) => expectTypeOf(data).toEqualTypeOf<Member>());
channel.addEventListener("price", ({ data, origin }) => [expectTypeOf(data).toBeAny(), expectTypeOf(origin).toBeString()], {
  once: true,
});
channel.addEventListener("message", { handleEvent: (event: Event) => event.type });
channel.addEventListener("message", null);
const typed = new WidecastChannel<{ price: number }>("prices");
typed.onmessage = ({ data }) => expectTypeOf(data.price).toBeNumber();
typed.addEventListener("message", ({ data }) => expectTypeOf(data).toEqualTypeOf<{ price: number }>());
typed.addEventListener("change", ({ data }) => expectTypeOf(data).toEqualTypeOf<{ price: number }>());
const listener = ({ data }: MessageEvent<{ price: number }>): number => data.price;
typed.addEventListener("message", listener);
typed.removeEventListener("message", listener);
typed.postMessage({ price: 1 });
// @ts-expect-error -- that is no price
typed.postMessage("free");
expectTypeOf(typed.history()).toEqualTypeOf<Promise<PastMessage<{ price: number }>[]>>();
connection.addEventListener("auth_required", ({ detail }) => expectTypeOf(detail.reason).toBeString());
connection.addEventListener("status", ({ detail }) => expectTypeOf(detail).toEqualTypeOf<Status>());
class Room extends WidecastChannel<string> {}
expectTypeOf(new Room("room").onmessage).parameter(0).toHaveProperty("data").toBeString();
// Sockets of others, as Node needs them.
connect("https://broker.example", { WebSocket: OtherWebSocket });

// A code that is newer than the client is a code, too.
expectTypeOf<"forbidden">().toExtend<Code>();
expectTypeOf<"brand_new">().toExtend<Code>();
const error = new WidecastError("timeout", "late", true);
expectTypeOf(error).toExtend<Error>();
expectTypeOf(error.retryable).toBeBoolean();
expectTypeOf(error.code).toEqualTypeOf<Code>();
