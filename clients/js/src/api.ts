/**
 * The interface of the package, as TypeScript sees it: the published types are this file and those of the errors. They hold with and
 * without the DOM library, whose own types are used where it is there.
 */

import type { Code } from "./codes.js";

/** A type of the platform, or else the part of it that this client needs. */
type Platform<Name extends string, Otherwise> = typeof globalThis extends { [Key in Name]: { prototype: infer Type } }
  ? Type
  : Otherwise;

interface AnyEvent {
  readonly type: string;
}

type BaseEvent = Platform<"Event", AnyEvent>;
type Signal = Platform<"AbortSignal", object>;
type Address = string | Platform<"URL", { readonly href: string }>;

/** A listener for events: a function alone, or an object with one. */
type AnyListener = ((event: BaseEvent) => void) | { handleEvent(event: BaseEvent): void };

export interface ListenerOptions {
  capture?: boolean;
  once?: boolean;
  passive?: boolean;
  signal?: Signal;
}

interface AnyTarget {
  dispatchEvent(event: BaseEvent): boolean;
}

/** Any event target, without the methods that are typed more closely here. */
type Target = Omit<Platform<"EventTarget", AnyTarget>, "addEventListener" | "removeEventListener">;

interface AnyMessageEvent extends AnyEvent {
  readonly origin: string;
  readonly lastEventId: string;
}

/** A `MessageEvent`, whose data has a type. */
export interface ChannelMessageEvent<Data = any> extends Omit<Platform<"MessageEvent", AnyMessageEvent>, "data"> {
  readonly data: Data;
}

/** How a connection is: `idle`, not wanted or suspended; `waiting`, until the next attempt; `closed`, for good. */
export type ConnectionState = "idle" | "connecting" | "open" | "waiting" | "closed";

export type TransportName = "websocket" | "sse" | "stream" | "poll" | "jsonp";

export interface Status {
  state: ConnectionState;
  /** The transport in use, if the connection is open. */
  transport: TransportName | undefined;
  /** Why the state is so. */
  reason: string;
}

export interface DetailEvent<Detail> extends Omit<Platform<"CustomEvent", AnyEvent>, "detail"> {
  readonly detail: Detail;
}

/** A member of a channel, which is listed as present. */
export interface Member {
  id: string;
  data: unknown;
}

export interface ChannelEventMap<Data = any> {
  message: ChannelMessageEvent<Data>;
  /** A message could not be read. */
  messageerror: ChannelMessageEvent;
  /** Messages were lost; the channel goes on after `lastEventId`. */
  gap: ChannelMessageEvent<null>;
  join: ChannelMessageEvent<Member>;
  leave: ChannelMessageEvent<Member>;
  status: DetailEvent<Status>;
}

export interface ConnectionEventMap {
  status: DetailEvent<Status>;
  auth_required: DetailEvent<{ reason: string }>;
  /** The token names a channel, which the broker has joined by itself. */
  subscribed: DetailEvent<{ channel: string; cursor?: string; recovered?: boolean }>;
  /** A channel that the token has named was left, or could not be joined. */
  unsubscribed: DetailEvent<{ channel: string; code: Code }>;
  /** A backend has sent a message to the user. */
  direct: DetailEvent<DirectMessage>;
}

/** A message to a user, which is in no channel. */
export interface DirectMessage {
  data: any;
  event: string | undefined;
  /** The name of the API key that has sent it. */
  origin: string;
  /** When the broker accepted it, in milliseconds since 1970. */
  timestamp: number;
}

/** The place where the broker has put a message. */
export interface Receipt {
  offset: number;
  epoch: string;
}

/** A message of the past. */
export interface PastMessage<Data = unknown> extends Receipt {
  data: Data;
  event: string | undefined;
  origin: string;
  /** When the broker accepted it, in milliseconds since 1970. */
  timestamp: number;
  lastEventId: string;
}

export interface HistoryQuery {
  /** Only messages that are newer than this `lastEventId`. */
  since?: string;
  /** How many messages at most. */
  limit?: number;
}

export type UploadProgress = Platform<"ProgressEvent", { readonly loaded: number; readonly total: number }>;

export interface UploadOptions {
  /** The name of the message's event. */
  event?: string | undefined;
  /** Is told how much has left, where there is XMLHttpRequest: in pages and workers, but not in service workers. */
  onprogress?: ((event: UploadProgress) => void) | undefined;
  /** How long it may take, in milliseconds; for ever, if it is not given. */
  timeout?: number | undefined;
  /** A signal that gives the upload up. */
  signal?: Signal | undefined;
}

/** A token, or a function that fetches one each time it is needed; `undefined` stands for going without. */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

type Constructor = new (...given: any[]) => any;

export interface ConnectionOptions {
  /** The transports to use, the one to prefer first. */
  transports?: TransportName[];
  /** Reach the broker through a frame of its `/bridge.html`: for a page that may not connect to it, but may frame it. */
  bridge?: boolean;
  /** A token that proves to the broker who the user is, or a function that fetches one each time it is needed. */
  token?: TokenSource;
  /** Gives a token for one channel, each time that the channel is joined or its last token ends; `undefined` stands for going without. */
  subscriptionToken?: (channel: string) => string | undefined | Promise<string | undefined>;
  /** Whether a page of another origin than the broker's sends the broker its cookies, whatever the transport. */
  withCredentials?: boolean;
  /** How long a message may wait for others to be sent together with it, in milliseconds. With 0, messages that are posted in one task are sent together. */
  batchDelay?: number;
  /** From how many bytes on messages do not wait any longer. */
  batchBytes?: number;
  /** How long to stay connected when no channel is open, in milliseconds. */
  idleTimeout?: number;
  /**
   * Whether the tabs of a browser use one connection, if it can do that. A `token` without a `scope` turns it off: tabs may have
   * different users.
   */
  share?: boolean;
  /** Only connections of the same scope are shared: name the user, or another thing that makes connections different. */
  scope?: string;
  /** From how many bytes on messages are compressed on their way, where the browser can; `false` for none. */
  compress?: number | false;
  /** How long a transport may take to bring the broker's welcome, in milliseconds. */
  connectTimeout?: number;
  /** How long the broker may be silent after it was asked something, in milliseconds. */
  replyTimeout?: number;
  /** When a better transport is tried again for the first time, in milliseconds; each time later it waits twice as long. */
  upgradeDelay?: number;
  /** The longest wait before the first attempt to reconnect, in milliseconds; doubled with each further one. */
  minDelay?: number;
  /** The longest wait before any attempt, in milliseconds. */
  maxDelay?: number;
  /** How many attempts in a row may fail. */
  maxAttempts?: number;
  /** How many posts may wait for the broker. */
  queueMessages?: number;
  /** How many bytes they may have together. */
  queueBytes?: number;
  /** Implementations to use instead of the platform's, in Node for example. */
  WebSocket?: Constructor | undefined;
  fetch?: ((...given: any[]) => Promise<any>) | undefined;
}

export interface ChannelOptions {
  /** The broker's address, or a connection to it; by default the server that the script came from. */
  broker?: Address | Connection;
  /**
   * `local`: contexts of this browser hear each other at once. `broker`: everybody hears everything in the broker's one order
   * and therefore only through it.
   */
  order?: "local" | "broker";
  /** The data with which the object is listed as present; `true` lists it without any. */
  presence?: unknown;
  /** How many of the newest past messages to hear first. */
  history?: number;
  /** Where to resume: the `lastEventId` of the last message that was heard. */
  cursor?: string;
}

export interface Connection extends Target {
  /** The broker's address. */
  readonly broker: Platform<"URL", { readonly href: string }>;
  readonly state: ConnectionState;
  /** The transport in use, if the connection is open. */
  readonly transport: TransportName | undefined;
  /** How many messages wait for the broker to confirm them. */
  readonly queued: number;
  /** Who the broker says the user is, by the last token that it has accepted in this session. */
  readonly user: string | undefined;
  /** Proves to the broker who the user is, and tries again what was refused; by the present token if none is given. */
  authenticate(token?: TokenSource): Promise<void>;
  /** Ends the connection for good; everything that waits for it is given up. */
  close(): void;
  addEventListener<Type extends keyof ConnectionEventMap>(
    type: Type,
    listener: ((this: Connection, event: ConnectionEventMap[Type]) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  addEventListener(type: string, listener: AnyListener | null, options?: boolean | ListenerOptions): void;
  removeEventListener<Type extends keyof ConnectionEventMap>(
    type: Type,
    listener: ((this: Connection, event: ConnectionEventMap[Type]) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  removeEventListener(type: string, listener: AnyListener | null, options?: boolean | ListenerOptions): void;
}

/** A BroadcastChannel that reaches other machines; `Data` is the type of its messages. */
export interface WidecastChannel<Data = any> extends Target {
  readonly name: string;
  /** Resolves when every later message will be heard, from wherever. */
  readonly ready: Promise<void>;
  /** The connection to the broker. */
  readonly connection: Connection | undefined;
  get onmessage(): ((event: ChannelMessageEvent<Data>) => unknown) | null;
  set onmessage(handler: ((this: WidecastChannel<Data>, event: ChannelMessageEvent<Data>) => unknown) | null);
  get onmessageerror(): ((event: ChannelMessageEvent) => unknown) | null;
  set onmessageerror(handler: ((this: WidecastChannel<Data>, event: ChannelMessageEvent) => unknown) | null);
  /**
   * Sends a copy of a value, as it is now, to everybody else on the channel.
   *
   * @throws InvalidStateError when the channel is closed, DataCloneError when the value cannot be copied,
   * QuotaExceededError when too much waits for the broker.
   */
  postMessage(message: Data): void;
  /** Sends like `postMessage`, and tells when and where the broker has put the message; it may have an event of a name. */
  publish(message: Data, options?: { event?: string }): Promise<Receipt>;
  /**
   * Publishes a Blob, a File, a FormData (as an object) or any other value by a request of its own, which tells how far it is.
   * All others, those of this browser included, hear it when it has arrived whole; it keeps no order with messages that are posted meanwhile.
   */
  upload(body: unknown, options?: UploadOptions): Promise<Receipt>;
  /** Past messages, oldest first. */
  history(query?: HistoryQuery): Promise<PastMessage<Data>[]>;
  /** The members that are listed as present. */
  presence(): Promise<Member[]>;
  /** Ends the channel object: it hears nothing from now on. Its earlier posts are still sent. */
  close(): void;
  addEventListener<Type extends keyof ChannelEventMap>(
    type: Type,
    listener: ((this: WidecastChannel<Data>, event: ChannelEventMap<Data>[Type]) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  /** Any other name is that of messages that were published with it as their `event`. */
  addEventListener(
    type: string,
    listener: ((this: WidecastChannel<Data>, event: ChannelMessageEvent<Data>) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  addEventListener(type: string, listener: AnyListener | null, options?: boolean | ListenerOptions): void;
  removeEventListener<Type extends keyof ChannelEventMap>(
    type: Type,
    listener: ((this: WidecastChannel<Data>, event: ChannelEventMap<Data>[Type]) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: ((this: WidecastChannel<Data>, event: ChannelMessageEvent<Data>) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  removeEventListener(type: string, listener: AnyListener | null, options?: boolean | ListenerOptions): void;
}

export interface WidecastChannelConstructor {
  new <Data = any>(name: string, options?: ChannelOptions | null): WidecastChannel<Data>;
  readonly prototype: WidecastChannel;
  /** The browser's own BroadcastChannel, if it has one, for where this class has taken its place. */
  readonly native: typeof globalThis extends { BroadcastChannel: infer Native } ? Native : Constructor;
}

/** Connects to a broker, and stays connected until `close`. Channels of the same broker use the same connection. */
export type Connect = (broker?: Address, options?: ConnectionOptions) => Connection;
