/**
 * A connection to a broker, shared by all channels of this context: joins their channels, sends their posts, and does both
 * again after every reconnect, whatever the transport is then.
 */
import type { ConnectionOptions, Receipt, TokenSource, TransportName, UploadOptions } from "./api.js";
import { Authentication } from "./authentication.js";
import { Backoff } from "./backoff.js";
import { bridged } from "./bridged.js";
import { compress, type Encoded, raw } from "./codec/index.js";
import { WidecastError } from "./error.js";
import { command, type Frame } from "./frames.js";
import { COMMAND_IDS } from "./hub.js";
import type { Dial, Line, LineListener, LineState } from "./line.js";
import { Link } from "./link.js";
import { Outbox, WINDOW, type Post } from "./outbox.js";
import { watchPage } from "./page.js";
import { randomName } from "./random.js";
import { type Host, type Reader, Subscription, type Wish } from "./subscription.js";
import { TabLine } from "./tab_line.js";
import { type Platform, type Target, TRANSPORTS } from "./transports/index.js";
import { byBridge, directly, encodeUpload, upload } from "./upload.js";

const DEFAULTS = {
  minDelay: 1000,
  maxDelay: 30_000,
  maxAttempts: Infinity,
  connectTimeout: 4000,
  replyTimeout: 8000,
  upgradeDelay: 30_000,
  queueMessages: 10_000,
  queueBytes: 64 * 1024 * 1024,
  batchDelay: 0,
  batchBytes: 65_536,
  idleTimeout: 5000,
  share: true,
  compress: 4096 as number | false,
};

/** Who listens to a channel. */
export interface ChannelListener extends Reader {
  joined(): void;
  /** The broker does not let it in, or has put it out. */
  refused(error: unknown): void;
  status(reason: string): void;
}

/** A command whose answer somebody waits for. */
interface Request {
  bytes: Uint8Array<ArrayBuffer>;
  resolve(frame: Frame): void;
  reject(error: WidecastError): void;
}

export class Connection extends EventTarget {
  readonly #options: ConnectionOptions & typeof DEFAULTS;
  readonly #target: Target;
  readonly #line: Line;
  readonly #outbox: Outbox;
  readonly #authentication: Authentication;
  readonly #subscriptions = new Map<string, Subscription<ChannelListener>>();
  readonly #requests = new Map<number, Request>();
  /** What to do with the answers to what the subscriptions have asked on this session. */
  readonly #asked = new Map<number, (answer: Frame) => void>();
  readonly #stopWatching: () => void;
  /** Ids are from a range at random, in which none of another tab on a shared connection is; they never leave it. */
  readonly #firstCommand = Math.ceil(Math.random() * 2 ** 30) * COMMAND_IDS;
  #lastCommand = 0;
  #flushing = false;
  #batchTimer: ReturnType<typeof setTimeout> | undefined;
  /** How many bytes were posted since something was sent. */
  #batchedBytes = 0;
  /** The largest message that the broker takes, as it has said. @internal */
  messageBytes = Infinity;
  /** What keeps the connection open besides its channels. */
  #held = false;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  /** The connection that the page has, and how many sessions it has before this one. */
  #main: Connection = this;
  #level = 0;
  #own: Connection | undefined;
  #next: Connection | undefined;
  /** Whether the page is in the back/forward cache, or frozen: what it posts as it goes waits until it is back. */
  #isCached = false;

  /** `main`: the connection that needs this session besides its own. */
  constructor(
    readonly broker: URL,
    options: ConnectionOptions,
    main?: Connection,
  ) {
    super();
    if (main) {
      this.#main = main.#main;
      this.#level = main.#level + 1;
    }
    const set = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.#options = { ...DEFAULTS, ...set };
    const { WebSocket, EventSource, fetch } = globalThis;
    const platform: Platform = { WebSocket, EventSource, fetch: fetch?.bind(globalThis), ...set };
    const { bridge } = this.#options;
    if (bridge && !globalThis.document) throw new DOMException("a bridge needs a page", "NotSupportedError");
    // Without it nothing that is compressed can be read (Firefox 112, Safari 16.3), and JSON, which the second speaks, never is.
    const known = TRANSPORTS.slice(globalThis.DecompressionStream ? 0 : 1);
    const names = this.#options.transports ?? known.map((type) => type.name);
    const types = names.flatMap((name) => TRANSPORTS.filter((type) => type.name === name && type.available(platform)));
    const target = (this.#target = { base: broker, sender: randomName(32), platform });
    // Has the same waits whether this tab leads, follows, or leads again.
    const backoff = new Backoff(this.#options);
    const dial: Dial = (listener, retry) => new Link(bridge ? types.map(bridged) : types, target, this.#options, backoff, listener, retry);
    const { replyTimeout, scope = "" } = this.#options;
    const name = ["widecast", broker, names, !!bridge, scope, this.#level].join(" ");
    this.#line = this.#isShared(set) ? new TabLine(name, replyTimeout, dial, this.#listener) : dial(this.#listener);
    this.#authentication = new Authentication(this.#options, {
      nextCommand: () => this.#nextCommand(),
      send: (commands) => this.#send(commands),
      admitted: () => this.#takeUp(),
      denied: (error, reason) => {
        this.#report(String(error));
        if (reason) this.#main.dispatchEvent(new CustomEvent("auth_required", { detail: { reason } }));
      },
    });
    this.#outbox = new Outbox(this.#options, () => this.#flushSoon());
    this.#stopWatching = watchPage({
      woken: () => this.#line.check(),
      cached: (isCached) => {
        this.#isCached = isCached;
        if (isCached) this.#line.suspend();
        else this.#wake();
      },
    });
  }

  /** The transport in use, if the connection is open. */
  get transport(): TransportName | undefined {
    return this.#line.transport;
  }

  get state(): LineState {
    return this.#line.state;
  }

  /** How many messages wait for the broker to confirm them. */
  get queued(): number {
    return this.#outbox.size;
  }

  /** Keeps the connection open although no channel needs it. @internal */
  hold(): this {
    this.#held = true;
    this.#wake();
    return this;
  }

  /** One that is not shared with other tabs, with the same options: to be present in, which each tab is by itself. @internal */
  unshared(): Connection {
    if (!(this.#line instanceof TabLine)) return this;
    return (this.#own = this.#like(this.#own, { share: false }));
  }

  /** Another session, for the channels that this one cannot join as well. */
  #more(): Connection {
    return (this.#next = this.#like(this.#next, {}));
  }

  /** A connection with the same options, unless there is one already. */
  #like(present: Connection | undefined, options: ConnectionOptions): Connection {
    return present && present.state !== "closed" ? present : new Connection(this.#target.base, { ...this.#options, ...options }, this);
  }

  /** Ends the connection for good, and all that waits for it. */
  close(): void {
    this.#own?.close();
    this.#next?.close();
    this.#stopWatching();
    this.#line.close("by the page");
  }

  /** Proves who this is, anew or for the first time, and tries again what was refused; by the present token if none is given. */
  async authenticate(token: TokenSource | undefined = this.#options.token): Promise<void> {
    this.#options.token = token;
    for (const other of [this.#own, this.#next]) other?.authenticate(token).catch(() => {});
    if (this.state === "closed") throw closed();
    const proved = this.#authentication.proved();
    if (this.state === "open") void this.#authentication.prove();
    else this.#line.open();
    return proved;
  }

  /** Lets a listener hear a channel. @internal */
  join(channel: string, listener: ChannelListener, wish: Wish): void {
    const present = this.#subscriptions.get(channel);
    const presence = present?.presence;
    // A session is listed once in a channel.
    if (presence && wish.presence && `${presence}` !== `${wish.presence}`) return this.#more().join(channel, listener, wish);
    const subscription = present ?? new Subscription(channel, this.#host);
    this.#subscriptions.set(channel, subscription);
    subscription.add(listener, wish);
    this.#wake();
  }

  /** @internal */
  leave(channel: string, listener: ChannelListener): void {
    if (!this.#subscriptions.get(channel)?.remove(listener)) this.#next?.leave(channel, listener);
  }

  /** What stands between the subscriptions and the session. */
  readonly #host: Host<ChannelListener, Wish> = {
    isOpen: () => this.#isAdmitted,
    ask: (question, answered) => {
      const id = this.#nextCommand();
      this.#asked.set(id, answered);
      this.#send([command({ ...question, id, presence: question.presence && raw(question.presence) })]);
    },
    joined: (listener, _, begin) => {
      listener.joined();
      if (!begin.recovered) listener.frame({ type: "gap", ...begin });
    },
    refused: (listener, wish, { code, message, retryable }, subscription) => {
      const { channel } = subscription;
      if (code === "too_many_channels") {
        subscription.remove(listener);
        this.#more().join(channel, listener, wish);
      } else if (retryable || !this.#isAdmitted) {
        setTimeout(() => subscription.retry(listener), this.#options.minDelay);
      } else {
        listener.refused(new WidecastError(code!, message!, retryable));
      }
    },
    left: ({ channel }, isJoined) => {
      this.#subscriptions.delete(channel);
      if (isJoined && this.#isAdmitted) this.#send([command({ type: "unsubscribe", channel })]);
      this.#rest();
    },
  };

  /**
   * Makes sure that a message can wait.
   *
   * @throws QuotaExceededError when too many do.
   *
   * @internal
   */
  checkRoom(encoded: Encoded): void {
    this.#outbox.check(encoded.size);
  }

  /** Publishes a message as soon as the broker can be reached. @internal */
  publish(channel: string, message: Pick<Post, "id" | "event" | "encoded">): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      if (this.state === "closed") return reject(closed());
      const encoded = compress(message.encoded, this.#options.compress);
      this.#batchedBytes += encoded.size;
      this.#outbox.add({ channel, ...message, encoded, resolve, reject });
      this.#wake();
    });
  }

  /** Publishes a message by a request of its own, at once. @internal */
  async upload(channel: string, id: string, body: unknown, options: UploadOptions): Promise<Receipt> {
    // What is too large is not even copied, if that can be seen.
    if (body instanceof Blob) this.#checkSize(body.size);
    const encoded = compress(encodeUpload(body), this.#options.compress);
    this.#checkSize(encoded.size);
    await encoded.ready;
    const { event } = options;
    const parameters = { message_id: id, ...(event !== undefined && { event }) };
    const parcel = { channel, parameters, token: await this.#authentication.token(), body: encoded.bytes };
    return upload(parcel, this.#target, this.#options.bridge ? byBridge : directly, options);
  }

  /** @throws WidecastError when a message of so many bytes cannot go. */
  #checkSize(bytes: number): void {
    if (!(bytes > this.messageBytes)) return;
    throw new WidecastError("message_too_large", `the message has ${bytes} bytes, ${this.transport} carries ${this.messageBytes}`);
  }

  /** Sends a command and waits for its answer, over reconnects. @internal */
  request(fields: Parameters<typeof command>[0]): Promise<Frame> {
    return new Promise((resolve, reject) => {
      if (this.state === "closed") return reject(closed());
      const id = this.#nextCommand();
      const request = { bytes: command({ ...fields, id }), resolve, reject };
      this.#requests.set(id, request);
      if (this.#isAdmitted) this.#send([request.bytes]);
      this.#wake();
    });
  }

  /** Connects, if it is not connected. */
  #wake(): void {
    clearTimeout(this.#idleTimer);
    if (this.#isCached) return;
    if (this.state === "idle" && this.#isNeeded()) this.#line.open();
    else this.#rest();
  }

  /** What a page has in place of a part of its platform, other tabs do not have. */
  #isShared({ WebSocket, EventSource, fetch }: Platform): boolean {
    const { share, token, scope } = this.#options;
    return share && TabLine.isAvailable && !(WebSocket || EventSource || fetch) && (token === undefined || scope !== undefined);
  }

  #isNeeded(): boolean {
    return this.#held || this.#subscriptions.size + this.#outbox.size + this.#requests.size > 0;
  }

  /** Ends the connection after a while without need. */
  #rest(): void {
    clearTimeout(this.#idleTimer);
    if (this.#isNeeded() || /closed|idle/.test(this.state)) return;
    this.#idleTimer = setTimeout(() => {
      if (!this.#isNeeded()) this.#line.suspend();
    }, this.#options.idleTimeout);
  }

  readonly #listener: LineListener = {
    opened: ({ limits }) => {
      this.messageBytes = limits?.message_bytes ?? Infinity;
      this.#authentication.end();
      void this.#authentication.prove();
    },
    frame: (frame) => {
      const subscription = this.#subscriptions.get(frame.channel!);
      switch (frame.type) {
        case "message":
        case "gap":
        case "join":
        case "leave":
          return subscription?.frame(frame);
        case "auth_required":
          return this.#authentication.require(frame.reason!);
        case "unsubscribed":
          if (frame.code && subscription) refuse(subscription, new WidecastError(frame.code, frame.type));
          return;
        default:
          if (frame.id) this.#answered(frame.id, frame);
          else if (frame.type === "error") this.#report(`${frame.code}: ${frame.message}`);
      }
    },
    changed: (reason) => {
      if (this.state === "closed") {
        this.#line.close(reason);
        const error = closed(reason);
        this.#outbox.abandon(error);
        for (const { reject } of this.#requests.values()) reject(error);
        for (const subscription of this.#subscriptions.values()) refuse(subscription, error);
        this.#requests.clear();
        this.#authentication.end(error);
      }
      if (this.state !== "open") this.#authentication.end();
      this.#report(reason);
    },
  };

  get #isAdmitted(): boolean {
    return this.#authentication.isAdmitted;
  }

  /** Takes everything up where the last connection left it. */
  #takeUp(): void {
    this.#asked.clear();
    for (const subscription of this.#subscriptions.values()) subscription.reset();
    this.#send([...this.#requests.values()].map(({ bytes }) => bytes));
    this.#outbox.rewind();
    this.#flush();
  }

  #nextCommand(): number {
    this.#lastCommand = (this.#lastCommand + 1) % COMMAND_IDS;
    return this.#firstCommand + this.#lastCommand;
  }

  #send(commands: Uint8Array<ArrayBuffer>[]): void {
    if (commands.length) this.#line.send(commands);
  }

  /** What is posted in one go is sent in one, or what is posted within `batchDelay`. */
  #flushSoon(): void {
    const { batchDelay, batchBytes } = this.#options;
    if (batchDelay && this.#batchedBytes < batchBytes && this.#outbox.size < WINDOW) {
      this.#batchTimer ??= setTimeout(() => this.#flush(), batchDelay);
      return;
    }
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    this.#batchedBytes = 0;
    if (!this.#isAdmitted) return;
    const commands = [];
    for (let id, post; (post = this.#outbox.next((id = this.#nextCommand()))); ) {
      const { channel, event, encoded } = post;
      try {
        this.#checkSize(encoded.size);
        commands.push(command({ type: "publish", id, channel, event, message_id: post.id, data: raw(encoded.bytes) }));
      } catch (error) {
        this.#outbox.take(id)!.reject(error);
      }
    }
    this.#send(commands);
    this.#rest();
  }

  #answered(id: number, frame: Frame): void {
    const error = frame.type === "error" ? new WidecastError(frame.code!, frame.message!, frame.retryable) : undefined;
    if (id === this.#authentication.command) return this.#authentication.settle(error, frame.retryable, frame.expires_at);
    const asked = this.#asked.get(id);
    const request = this.#requests.get(id);
    this.#asked.delete(id);
    this.#requests.delete(id);
    if (asked) {
      asked(frame);
    } else if (!error) {
      request?.resolve(frame);
      this.#outbox.take(id)?.resolve({ offset: frame.offset!, epoch: frame.epoch! });
    } else if (frame.retryable || !this.#isAdmitted) {
      this.#again(id, request);
    } else {
      request?.reject(error);
      this.#outbox.take(id)?.reject(error);
    }
    this.#rest();
  }

  /** The broker could not do it now. */
  #again(id: number, request: Request | undefined): void {
    if (request) this.#requests.set(id, request);
    this.#outbox.hold(id);
    setTimeout(() => {
      this.#outbox.resume();
      if (!this.#isAdmitted) return;
      if (request) this.#send([request.bytes]);
      this.#flush();
    }, this.#options.minDelay);
  }

  #report(reason: string): void {
    const { state, transport } = this;
    this.dispatchEvent(new CustomEvent("status", { detail: { state, transport, reason } }));
    for (const { readers } of this.#subscriptions.values()) for (const listener of readers) listener.status(reason);
  }
}

function refuse({ readers }: Subscription<ChannelListener>, error: unknown): void {
  for (const listener of readers) listener.refused(error);
}

function closed(reason = "the connection is closed"): WidecastError {
  return new WidecastError(/origin_not_allowed/.exec(reason)?.[0] ?? "closed", reason);
}
