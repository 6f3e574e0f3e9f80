/**
 * A connection to a broker, shared by all channels of this context: joins their channels, sends their posts, and does both
 * again after every reconnect, whatever the transport is then.
 */
import { bridged } from "./bridged.js";
import { compress, type Encoded } from "./codec/index.js";
import { WidecastError } from "./error.js";
import { command, type Frame } from "./frames.js";
import { COMMAND_IDS } from "./hub.js";
import type { Line, LineListener, LineState } from "./line.js";
import { Link, type LinkOptions } from "./link.js";
import { Outbox, type OutboxOptions, type Receipt } from "./outbox.js";
import { watchPage } from "./page.js";
import { randomName } from "./random.js";
import { type ChannelListener, Subscription, type Wish } from "./subscription.js";
import { TabLine } from "./tab_line.js";
import { type Platform, TRANSPORTS, type TransportName } from "./transports/index.js";

/** A token, or what fetches one each time it is needed. */
export type TokenSource = string | (() => string | Promise<string>);

export interface ConnectionOptions extends Partial<LinkOptions>, Partial<OutboxOptions>, Platform {
  /** The transports to use, the one to prefer first. */
  transports?: TransportName[];
  /** Reach the broker through a frame of its `/bridge.html`: for a page that may not connect to it, but may frame it. */
  bridge?: boolean;
  /** Proves to the broker who this is. */
  token?: TokenSource;
  /** How long to stay connected when no channel is open, in milliseconds. */
  idleTimeout?: number;
  /**
   * Whether the tabs of a browser use one connection, if it can do that. A `token` without a `scope` turns it off: tabs may have
   * different users.
   */
  share?: boolean;
  /** Only connections of the same scope are shared: name the user, or whatever makes connections different. */
  scope?: string;
  /** From how many bytes on messages are compressed on their way, where the browser can; `false` for none. */
  compress?: number | false;
}

const DEFAULTS = {
  minDelay: 1000,
  maxDelay: 30_000,
  maxAttempts: Infinity,
  connectTimeout: 4000,
  replyTimeout: 8000,
  upgradeDelay: 30_000,
  queueMessages: 10_000,
  queueBytes: 64 * 1024 * 1024,
  idleTimeout: 5000,
  share: true,
  compress: 4096 as number | false,
};

/** A command whose answer somebody waits for. */
interface Request {
  bytes: Uint8Array<ArrayBuffer>;
  resolve(frame: Frame): void;
  reject(error: WidecastError): void;
}

export class Connection extends EventTarget {
  readonly #options: ConnectionOptions & typeof DEFAULTS;
  readonly #line: Line;
  readonly #outbox: Outbox;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #requests = new Map<number, Request>();
  /** The subscriptions that were asked for on this connection and not answered yet. */
  readonly #joining = new Map<number, Subscription>();
  readonly #stopWatching: () => void;
  /** Ids begin at random, and so do not meet those of other tabs on a shared connection. */
  #lastCommand = Math.floor(Math.random() * 2 ** 31) * COMMAND_IDS;
  #flushing = false;
  /** The largest message that the broker takes, as it has said. */
  messageBytes = Infinity;
  /** What keeps the connection open besides its channels. */
  #held = false;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #own: Connection | undefined;

  constructor(
    readonly broker: URL,
    options: ConnectionOptions,
  ) {
    super();
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
    const target = { base: broker, sender: randomName(32), platform };
    const dial = (listener: LineListener): Line => new Link(bridge ? types.map(bridged) : types, target, this.#options, listener);
    const listener: LineListener = {
      opened: (welcome) => this.#opened(welcome),
      frame: (frame) => this.#frame(frame),
      changed: (reason) => this.#changed(reason),
    };
    const { replyTimeout, scope = "" } = this.#options;
    const name = ["widecast", broker, names, !!bridge, scope].join(" ");
    this.#line = this.#isShared(set) ? new TabLine(name, replyTimeout, dial, listener) : dial(listener);
    this.#outbox = new Outbox(this.#options, () => this.#flushSoon());
    this.#stopWatching = watchPage({
      woken: () => this.#line.check(),
      cached: (isCached) => (isCached ? this.#line.suspend() : this.#wake()),
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

  /** Keeps the connection open although no channel needs it. */
  hold(): this {
    this.#held = true;
    this.#wake();
    return this;
  }

  /** One that is not shared with other tabs, with the same options: to be present in, which each tab is by itself. */
  unshared(): Connection {
    if (!(this.#line instanceof TabLine)) return this;
    if (!this.#own || this.#own.state === "closed") this.#own = new Connection(this.broker, { ...this.#options, share: false });
    return this.#own;
  }

  /** Ends the connection for good, and all that waits for it. */
  close(): void {
    this.#own?.close();
    this.#stopWatching();
    this.#line.close("closed by the page");
  }

  /** Proves who this is, anew or for the first time; without a token with the one of the options. */
  async authenticate(token: TokenSource | undefined = this.#options.token): Promise<void> {
    if (token === undefined) throw new WidecastError("unauthorized", "there is no token");
    this.#options.token = token;
    const text = typeof token === "function" ? await token() : token;
    await this.request({ type: "authenticate", token: text });
    if (this.state === "open") this.#takeUp();
  }

  /** Lets a listener hear a channel. */
  join(channel: string, listener: ChannelListener, wish: Wish): void {
    let subscription = this.#subscriptions.get(channel);
    const isNew = !subscription;
    subscription ??= new Subscription(channel);
    this.#subscriptions.set(channel, subscription);
    subscription.listeners.add(listener);
    const ask = subscription.wish(wish) || isNew;
    if (ask && this.state === "open") this.#send([this.#subscribe(subscription)]);
    else if (subscription.joined) queueMicrotask(() => listener.joined());
    this.#wake();
  }

  leave(channel: string, listener: ChannelListener): void {
    const subscription = this.#subscriptions.get(channel);
    if (!subscription?.listeners.delete(listener) || subscription.listeners.size) return;
    this.#subscriptions.delete(channel);
    if (this.state === "open") this.#send([command({ type: "unsubscribe", channel })]);
    this.#rest();
  }

  /**
   * Makes sure that a message can wait.
   *
   * @throws QuotaExceededError when too many do.
   */
  checkRoom(encoded: Encoded): void {
    this.#outbox.check(encoded.size);
  }

  /** Publishes a message as soon as the broker can be reached. */
  publish(channel: string, message: { id: string; event?: string | undefined; encoded: Encoded }): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      if (this.state === "closed") return reject(closed("the connection is closed"));
      const encoded = compress(message.encoded, this.#options.compress);
      this.#outbox.add({ channel, event: message.event, id: message.id, encoded, resolve, reject });
      this.#wake();
    });
  }

  /** Sends a command and waits for its answer, over reconnects. */
  request(fields: Parameters<typeof command>[0]): Promise<Frame> {
    return new Promise((resolve, reject) => {
      if (this.state === "closed") return reject(closed("the connection is closed"));
      const id = ++this.#lastCommand;
      const request = { bytes: command({ ...fields, id }), resolve, reject };
      this.#requests.set(id, request);
      if (this.state === "open") this.#send([request.bytes]);
      this.#wake();
    });
  }

  /** Connects, if it is not connected. */
  #wake(): void {
    clearTimeout(this.#idleTimer);
    if (this.state === "idle" && this.#isNeeded()) this.#line.open();
    else this.#rest();
  }

  /** What a page has in place of a part of its platform, other tabs do not have. */
  #isShared({ WebSocket, EventSource, fetch }: Platform): boolean {
    const { share, token, scope } = this.#options;
    return share && TabLine.isAvailable && !(WebSocket || EventSource || fetch) && (token === undefined || scope !== undefined);
  }

  #isNeeded(): boolean {
    return this.#held || !!this.#subscriptions.size || !!this.#outbox.size || !!this.#requests.size;
  }

  /** Ends the connection after a while without need. */
  #rest(): void {
    clearTimeout(this.#idleTimer);
    if (this.#isNeeded() || this.state === "closed" || this.state === "idle") return;
    this.#idleTimer = setTimeout(() => {
      if (!this.#isNeeded()) this.#line.suspend();
    }, this.#options.idleTimeout);
  }

  #opened({ limits }: Frame): void {
    this.messageBytes = limits?.message_bytes ?? Infinity;
    const { token } = this.#options;
    if (token === undefined) this.#takeUp();
    else this.authenticate(token).catch((error: unknown) => (this.#report(String(error)), this.#takeUp()));
  }

  /** Takes everything up where the last connection left it. */
  #takeUp(): void {
    this.#joining.clear();
    const joins = [...this.#subscriptions.values()].map((subscription) => this.#subscribe(subscription));
    this.#send([...joins, ...[...this.#requests.values()].map(({ bytes }) => bytes)]);
    this.#outbox.rewind();
    this.#flush();
  }

  #subscribe(subscription: Subscription): Uint8Array<ArrayBuffer> {
    const id = ++this.#lastCommand;
    this.#joining.set(id, subscription);
    const { channel, cursor, presence, history } = subscription;
    return command({ type: "subscribe", id, channel, cursor, presence, history });
  }

  #send(commands: Uint8Array<ArrayBuffer>[]): void {
    if (commands.length) this.#line.send(commands);
  }

  /** What is posted in one go is sent in one. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.state !== "open") return;
    const commands = [];
    for (let post; (post = this.#outbox.next(++this.#lastCommand)); ) {
      const id = this.#lastCommand;
      const { channel, event, encoded } = post;
      if (encoded.size > this.messageBytes) {
        const text = `the message has ${encoded.size} bytes, ${this.transport} carries ${this.messageBytes}`;
        this.#outbox.take(id)?.reject(new WidecastError("message_too_large", text));
      } else {
        commands.push(command({ type: "publish", id, channel, event, message_id: post.id, data: encoded.bytes }));
      }
    }
    this.#send(commands);
    this.#rest();
  }

  #frame(frame: Frame): void {
    const subscription = frame.channel === undefined ? undefined : this.#subscriptions.get(frame.channel);
    switch (frame.type) {
      case "message":
        return subscription?.message(frame);
      case "join":
      case "leave":
        return subscription?.member(frame);
      case "gap":
        return subscription?.begin(frame);
      case "auth_required":
        return void this.authenticate().catch((error: unknown) => this.#report(`${frame.reason}: ${String(error)}`));
      case "unsubscribed":
        if (frame.code) subscription?.refuse(new WidecastError(frame.code, `the broker has ended the subscription`));
        return;
      default:
        if (frame.id) this.#answered(frame.id, frame);
        else if (frame.type === "error") this.#report(`${frame.code}: ${frame.message}`);
    }
  }

  #answered(id: number, frame: Frame): void {
    const joining = this.#joining.get(id);
    const request = this.#requests.get(id);
    this.#joining.delete(id);
    this.#requests.delete(id);
    if (frame.type !== "error") {
      joining?.begin(frame);
      request?.resolve(frame);
      this.#outbox.take(id)?.resolve({ offset: frame.offset!, epoch: frame.epoch! });
    } else if (frame.retryable) {
      this.#again(id, joining, request);
    } else {
      const error = new WidecastError(frame.code!, frame.message!);
      joining?.refuse(error);
      request?.reject(error);
      this.#outbox.take(id)?.reject(error);
    }
    this.#rest();
  }

  /** The broker could not do it now. */
  #again(id: number, joining: Subscription | undefined, request: Request | undefined): void {
    if (request) this.#requests.set(id, request);
    this.#outbox.hold(id);
    setTimeout(() => {
      this.#outbox.resume();
      if (this.state !== "open") return;
      if (joining) this.#send([this.#subscribe(joining)]);
      if (request) this.#send([request.bytes]);
      this.#flush();
    }, this.#options.minDelay);
  }

  #changed(reason: string): void {
    if (this.state === "closed") {
      this.#line.close(reason);
      const error = closed(reason);
      this.#outbox.abandon(error);
      for (const { reject } of this.#requests.values()) reject(error);
      for (const subscription of this.#subscriptions.values()) subscription.refuse(error);
      this.#requests.clear();
    }
    this.#report(reason);
  }

  #report(reason: string): void {
    const { state, transport } = this;
    this.dispatchEvent(new CustomEvent("status", { detail: { state, transport, reason } }));
    for (const subscription of this.#subscriptions.values()) subscription.status(reason);
  }
}

function closed(reason: string): WidecastError {
  return new WidecastError("closed", reason);
}
