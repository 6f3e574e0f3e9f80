/**
 * A connection to a broker, shared by all channels of this context: joins their channels, sends their posts, and does both
 * again after every reconnect, on every transport.
 */
import type { ConnectionOptions, Receipt, TokenSource, TransportName, UploadOptions } from "./api.js";
import { Authentication } from "./authentication.js";
import { compress, type Encoded, inflate, read } from "./codec/index.js";
import { Commands } from "./commands.js";
import { lineTo, targetOf } from "./dial.js";
import { WidecastError } from "./error.js";
import type { Command, Frame } from "./frames.js";
import type { Line, LineListener, LineState } from "./line.js";
import { FINAL } from "./link.js";
import type { Post } from "./outbox.js";
import { watchPage } from "./page.js";
import { Publisher } from "./publisher.js";
import { Requests } from "./requests.js";
import { type Settings, withDefaults } from "./settings.js";
import { SharedLine } from "./shared_line.js";
import type { Wish } from "./subscription.js";
import { type ChannelListener, Subscriptions } from "./subscriptions.js";
import type { Target } from "./transports/index.js";
import { byBridge, directly, encodeUpload, upload } from "./upload.js";

export class Connection extends EventTarget {
  readonly #options: Settings;
  readonly #target: Target;
  readonly #line: Line;
  readonly #commands = new Commands((commands) => this.#send(commands));
  readonly #publisher: Publisher;
  readonly #authentication: Authentication;
  readonly #subscriptions: Subscriptions;
  readonly #requests: Requests;
  readonly #stopWatching: () => void;
  /** The largest message that the broker takes, as it has said. @internal */
  messageBytes = Infinity;
  /** Whether the page wants the connection although no channel may need it. */
  #held = false;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  /** The connection that the page has, and how many sessions it has before this one. */
  #main: Connection = this;
  #level = 0;
  #own: Connection | undefined;
  #next: Connection | undefined;
  /** Whether the page is in the back/forward cache, or frozen: its last posts wait until it is back. */
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
    this.#options = withDefaults(options);
    this.#target = targetOf(broker, this.#options);
    this.#line = lineTo(this.#target, this.#options, this.#level, this.#listener);
    const session = {
      commands: this.#commands,
      isOpen: () => this.#authentication.isAdmitted,
      send: (commands: Command[]) => {
        this.#send(commands);
        this.#rest();
      },
      denied: (error: unknown) => this.#report(String(error)),
      admitted: () => this.#takeUp(),
      missed: (reason: string) => this.#main.#tell("auth_required", { reason }),
      checkSize: (bytes: number) => this.#checkSize(bytes),
      joinElsewhere: (channel: string, listener: ChannelListener, wish: Wish) => this.#more().join(channel, listener, wish),
    };
    this.#authentication = new Authentication(this.#options, session);
    this.#subscriptions = new Subscriptions(this.#options, session);
    this.#requests = new Requests(this.#options, session);
    this.#publisher = new Publisher(this.#options, session);
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

  /** Who the broker says the user is. */
  get user(): string | undefined {
    return this.#authentication.user;
  }

  get state(): LineState {
    return this.#line.state;
  }

  /** How many messages wait for the broker to confirm them. */
  get queued(): number {
    return this.#publisher.size;
  }

  /** How many posts may wait for the broker. @internal */
  get queueMessages(): number {
    return this.#options.queueMessages;
  }

  /** Keeps the connection open although no channel needs it. @internal */
  hold(): this {
    this.#held = true;
    this.#wake();
    return this;
  }

  /** A connection with the same options that is not shared with other tabs: each tab is present by itself. @internal */
  unshared(): Connection {
    if (!(this.#line instanceof SharedLine)) return this;
    return (this.#own = this.#like(this.#own, { share: false }));
  }

  /** Another session, for the channels that this one cannot join as well. */
  #more(): Connection {
    return (this.#next = this.#like(this.#next, {}));
  }

  /** A connection with the same options, unless there is one already. */
  #like(present: Connection | undefined, options: ConnectionOptions): Connection {
    return present && present.state !== "closed"
      ? present
      : new Connection(this.#target.base, { ...this.#options, ...options }, this);
  }

  /** Ends the connection for good; everything that waits for it is given up. */
  close(): void {
    this.#own?.close();
    this.#next?.close();
    this.#stopWatching();
    this.#line.close("by the page");
  }

  /** Proves to the broker who the user is, and tries again what was refused; by the present token if none is given. */
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
    this.#subscriptions.join(channel, listener, wish);
    this.#wake();
  }

  /** @internal */
  leave(channel: string, listener: ChannelListener): void {
    if (!this.#subscriptions.leave(channel, listener)) this.#next?.leave(channel, listener);
  }

  /**
   * Makes sure that a message can wait.
   *
   * @throws QuotaExceededError when too many do.
   *
   * @internal
   */
  checkRoom({ size }: Encoded): void {
    this.#publisher.check(size);
  }

  /** Publishes a message as soon as the broker can be reached. @internal */
  async publish(channel: string, message: Pick<Post, "id" | "event" | "encoded">): Promise<Receipt> {
    if (this.state === "closed") throw closed();
    const receipt = this.#publisher.post(channel, message);
    this.#wake();
    return receipt;
  }

  /** Publishes a message by a request of its own, at once. @internal */
  async upload(channel: string, id: string, body: unknown, options: UploadOptions): Promise<Receipt> {
    // A body that can be seen to be too large is not even copied.
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
    throw new WidecastError(
      "message_too_large",
      `the message has ${bytes} bytes, ${this.transport} carries ${this.messageBytes}`,
    );
  }

  /** Sends a command and waits for its answer, over reconnects. @internal */
  async request(command: Command): Promise<Frame> {
    if (this.state === "closed") throw closed();
    const answer = this.#requests.add(command);
    this.#wake();
    return answer;
  }

  /** Connects, if it is not connected. */
  #wake(): void {
    clearTimeout(this.#idleTimer);
    if (this.#isCached) return;
    if (this.state === "idle" && this.#isNeeded()) this.#line.open();
    else this.#rest();
  }

  #isNeeded(): boolean {
    return this.#held || this.#subscriptions.size + this.queued + this.#requests.size > 0;
  }

  /** Ends the connection after a while without need. */
  #rest(): void {
    clearTimeout(this.#idleTimer);
    if (this.#isNeeded() || this.state === "closed" || this.state === "idle") return;
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
      const { type, id, channel, code, message, reason } = frame;
      if (id) {
        if (code === "unauthorized" && this.#authentication.isAdmitted) this.#authentication.miss(message!);
        this.#commands.settle(frame);
        this.#rest();
      } else if (type === "error") {
        this.#report(`${code}: ${message}`);
      } else if (type === "direct") {
        void this.#direct(frame);
      } else if (type === "auth_required" && !channel) {
        this.#authentication.require(reason!);
      } else if (type === "subscribed" || (!this.#subscriptions.frame(frame) && type === "unsubscribed")) {
        // The token names the channel, or does so no longer.
        this.#tell(type, frame);
      }
    },
    changed: (reason) => {
      if (this.state === "closed") {
        this.#line.close(reason);
        const error = closed(reason);
        this.#publisher.abandon(error);
        this.#requests.abandon(error);
        for (const listener of this.#subscriptions.readers) listener.refused(error);
        this.#authentication.end(error);
      }
      if (this.state !== "open") this.#authentication.end();
      this.#report(reason);
    },
  };

  /** Takes everything up where the last connection left it. */
  #takeUp(): void {
    this.#commands.forget();
    this.#subscriptions.reset();
    this.#requests.rewind();
    this.#publisher.rewind();
  }

  #send(commands: Command[]): void {
    if (commands.length) this.#line.send(commands);
  }

  /** Tells the page of a message to its user. */
  async #direct(frame: Frame): Promise<void> {
    try {
      this.#tell("direct", { ...frame, data: read(await inflate(frame.data!, this.messageBytes)) });
    } catch (error) {
      this.#report(String(error));
    }
  }

  #report(reason: string): void {
    const { state, transport } = this;
    this.#tell("status", { state, transport, reason });
    for (const listener of this.#subscriptions.readers) listener.status(reason);
  }

  #tell(type: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function closed(reason = "the connection is closed"): WidecastError {
  return new WidecastError(FINAL.exec(reason)?.[3] ?? "closed", reason);
}
