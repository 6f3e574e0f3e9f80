/**
 * A BroadcastChannel (https://html.spec.whatwg.org/multipage/web-messaging.html#broadcasting-to-other-browsing-contexts) that
 * reaches other machines: what is posted is heard inside the browser at once, and everywhere else through the broker.
 */
import type { ChannelOptions, HistoryQuery, Member, PastMessage, Receipt, UploadOptions } from "./api.js";
import { brokerAddress, connectionTo, SERVED } from "./broker.js";
import { encode, inflate, Reader, utf8Length } from "./codec/index.js";
import type { ChannelListener, Connection } from "./connection.js";
import { WidecastError } from "./error.js";
import type { Frame, MemberFrame } from "./frames.js";
import { Handlers } from "./handlers.js";
import { again } from "./heard.js";
import { Local, NATIVE } from "./local.js";
import { randomName } from "./random.js";

/** Events with a meaning of their own: a message whose event is called so is a plain message. */
const RESERVED = /^(message|messageerror|join|leave|gap|status|error)$/;

/** A name that a broker takes: 1 to 255 bytes without control characters or half surrogate pairs. */
const isNetworkName = (name: string): boolean =>
  /^[^\p{Cc}\p{Cs}]+$/u.test(name) && utf8Length(name) <= 255;

/**
 * What was posted or heard in this context without the broker, or posted in another before a channel was opened here, and where: every
 * channel that was there has heard it.
 */
const heardHere = new Set<string>();

/** What was posted in this context and is on its way to the broker, and the name of its channel. */
const underWay = new Map<string, string>();

/** Where contexts ask each other what is under way on a channel, and tell it. */
let posts: Local | undefined;

/** Tells other contexts what is under way on a channel, or on all. */
function tellPosts(name?: string): void {
  const keys = [...underWay.keys()].filter((key) => !name || underWay.get(key) === name);
  if (keys.length) posts!.post(["", undefined, keys]);
}

/** Asks for what was posted in this browser before a channel was opened, which is not for it when it comes from the broker. */
function askForPosts(name: string): void {
  // In Node an open channel would keep the process alive.
  if (!(globalThis.addEventListener as unknown)) return;
  posts ??= new Local("widecast posts", {
    message: ([name, , keys]) => {
      if (keys) for (const key of keys as string[]) again(heardHere, key);
      else tellPosts(name);
    },
    // Channels may have been opened while this page was in the back/forward cache.
    missed: tellPosts,
  });
  posts.post([name]);
}

export class WidecastChannel extends EventTarget {
  /** The browser's own BroadcastChannel, if it has one, for where this class has taken its place. */
  static readonly native = NATIVE;
  readonly #name: string;
  readonly #handlers = new Handlers(this);
  readonly #heard = new Set<string>();
  readonly #connection: Connection | undefined;
  readonly #local: Local | undefined;
  /** The broker's address, unless it is a guess. */
  readonly #broker: string | undefined;
  /** Whether it hears from the broker what was posted in this browser before: it has missed it, or asked for it. */
  #wantsPast: boolean;
  /**
   * Until the past has been heard, what comes in the browser is left to the broker, which brings it behind what it belongs behind:
   * these messages, by their ids. Until the broker has brought them all, or cannot be reached; then they are told.
   */
  #late: Map<string, () => unknown> | undefined;
  readonly #ready: Promise<void>;
  #settle!: { resolve: () => void; reject: (error: unknown) => void };
  #closed = false;
  /** What has come is being told until then: inflating takes its time. */
  #turn: Promise<void> | undefined;

  constructor(name: string, options: ChannelOptions | null = {}) {
    super();
    if (!arguments.length) throw new TypeError("WidecastChannel needs a name");
    this.#name = `${name}`;
    this.#ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.#ready.catch(() => {});
    const { broker, order, cursor, history, presence } = options ?? {};
    this.#wantsPast = !!(cursor || history);
    const own = broker instanceof EventTarget ? (broker as unknown as Connection) : undefined;
    const url = own ? own.broker : addressOrNone(broker as string | URL | undefined);
    this.#broker = broker || SERVED ? url?.href : undefined;
    if (order !== "broker" && NATIVE) {
      this.#local = new Local(`widecast channel ${this.#name}`, {
        message: ([id, event, data, broker], origin) => {
          // Who only guesses its broker hears all, and is heard by all.
          if (broker && this.#broker && broker !== this.#broker) return;
          again(heardHere, `${this.#broker} ${id}`);
          const tell = (): unknown => again(this.#heard, id) || this.#inTurn(() => this.#dispatch(event, { data, origin }));
          if (this.#late) this.#late.set(id, tell);
          else tell();
        },
        error: (origin) => this.#dispatchEvent("messageerror", { origin }),
        missed: () => this.#awaitPast(),
      });
      askForPosts(this.#name);
    }
    if (!url || !isNetworkName(this.#name)) {
      const error = new WidecastError("local_only", `${this.#name} is heard in this browser only${url ? "" : ": name a broker"}`);
      this.#settle.reject(error);
      queueMicrotask(() => this.#status(String(error)));
      return;
    }
    const member = presence === undefined || presence === false ? undefined : encode(presence).bytes;
    this.#connection = own ?? connectionTo(url);
    // Who is present is a tab, not a browser.
    if (member) this.#connection = this.#connection.unshared();
    this.#connection.join(this.#name, this.#listener, { presence: member, history, cursor });
    if (this.#wantsPast) this.#awaitPast();
  }

  get name(): string {
    return this.#name;
  }

  /** Resolves when every later message will be heard, from wherever. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** The connection to the broker. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  get onmessage(): ((this: WidecastChannel, event: MessageEvent) => unknown) | null {
    return this.#handlers.get("message") as never;
  }

  set onmessage(handler: ((this: WidecastChannel, event: MessageEvent) => unknown) | null) {
    this.#handlers.set("message", handler);
  }

  get onmessageerror(): ((this: WidecastChannel, event: MessageEvent) => unknown) | null {
    return this.#handlers.get("messageerror") as never;
  }

  set onmessageerror(handler: ((this: WidecastChannel, event: MessageEvent) => unknown) | null) {
    this.#handlers.set("messageerror", handler);
  }

  /**
   * Sends a copy of a value, as it is now, to everybody else on the channel.
   *
   * @throws InvalidStateError when the channel is closed, DataCloneError for what cannot be copied, QuotaExceededError when too
   * much waits for the broker.
   */
  postMessage(message: unknown): void {
    if (!arguments.length) throw new TypeError("postMessage needs a message");
    // Whoever wants to know how it ends calls `publish`; the others hear of it by `status`.
    this.#post(message, undefined).catch((error: unknown) => this.#status(String(error)));
  }

  /** The same, for who wants to know when and where the broker has put it, or names its event. */
  async publish(message: unknown, { event }: { event?: string } = {}): Promise<Receipt> {
    return this.#post(message, event);
  }

  /**
   * Publishes a Blob, a File, a FormData (as an object) or any other value by a request of its own, which tells how far it is.
   * Others hear it when it has arrived whole, those of this browser, too; it keeps no order with what is posted meanwhile.
   */
  async upload(body: unknown, options: UploadOptions = {}): Promise<Receipt> {
    this.#checkOpen();
    if (!this.#connection) return this.#ready as Promise<never>;
    const id = randomName(16);
    // The broker sends it to all; here it was heard.
    again(this.#heard, id);
    return this.#connection.upload(this.#name, id, body, options);
  }

  /** Past messages, oldest first. */
  async history({ since, limit }: HistoryQuery = {}): Promise<PastMessage<any>[]> {
    const { messages } = await this.#ask({ type: "history", channel: this.#name, since, limit });
    return Promise.all(
      messages!.map(async ({ data, event, origin, timestamp, offset, epoch }) => ({
        data: read(await this.#inflate(data!)),
        event,
        origin: origin!,
        timestamp: timestamp!,
        offset: offset!,
        epoch: epoch!,
        lastEventId: `${epoch}-${offset}`,
      })),
    );
  }

  /** Who is present. */
  async presence(): Promise<Member[]> {
    const { members } = await this.#ask({ type: "presence", channel: this.#name });
    return members!.map(member);
  }

  /** Hears nothing from now on. What was posted is still sent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#local?.close();
    this.#connection?.leave(this.#name, this.#listener);
    this.#settle.reject(new WidecastError("closed", "the channel is closed"));
  }

  // Only their types: `api.ts` has those that are published.
  declare addEventListener: (type: string, listener: any, options?: boolean | AddEventListenerOptions) => void;
  declare removeEventListener: (type: string, listener: any, options?: boolean | EventListenerOptions) => void;

  get [Symbol.toStringTag](): string {
    return "BroadcastChannel";
  }

  /** @throws InvalidStateError when the channel is closed. */
  #checkOpen(): void {
    if (this.#closed) throw new DOMException("the channel is closed", "InvalidStateError");
  }

  #post(message: unknown, event: string | undefined): Promise<Receipt> {
    this.#checkOpen();
    const copy = snapshot(message);
    const encoded = encode(copy);
    this.#connection?.checkRoom(encoded);
    const id = randomName(16);
    // It comes back from the broker, which does not know who of those that share a connection has sent it.
    again(this.#heard, id);
    try {
      this.#local?.post([id, event, copy, this.#broker]);
      if (this.#local) again(heardHere, `${this.#broker} ${id}`);
    } catch (error) {
      // Node sends no Blob to several others. They hear it from the broker.
      if (!this.#connection) throw error;
    }
    if (!this.#connection) return this.#ready as Promise<never>;
    const receipt = this.#connection.publish(this.#name, { id, event, encoded });
    const key = `${this.#broker} ${id}`;
    const arrived = (): unknown => underWay.delete(key);
    underWay.set(key, this.#name);
    receipt.then(arrived, arrived);
    return receipt;
  }

  async #ask(fields: Parameters<Connection["request"]>[0]): Promise<Frame> {
    this.#checkOpen();
    return this.#connection ? this.#connection.request(fields) : ((await this.#ready) as never);
  }

  readonly #listener: ChannelListener = {
    frame: ({ type, message_id, event, origin, data, cursor, member: who }) => {
      if (type !== "message") return this.#inTurn(() => this.#dispatchEvent(type, who ? { data: member(who) } : { lastEventId: cursor! }));
      if (message_id && (this.#isOld(message_id) || again(this.#heard, message_id))) return;
      const init = { origin: origin!, lastEventId: cursor! };
      this.#inTurn((bytes) => {
        let value: unknown;
        try {
          value = read(bytes!);
        } catch {
          return this.#dispatchEvent("messageerror", init);
        }
        this.#dispatch(event, { ...init, data: value });
      }, data);
    },
    joined: () => this.#settle.resolve(),
    refused: (error) => {
      this.#settle.reject(error);
      this.#giveUpPast();
      this.#status(String(error));
    },
    status: (reason) => this.#status(reason),
  };

  /** Whether a message that comes from the broker was heard here before this channel was opened, which is too late for it. */
  #isOld(id: string): boolean {
    if (this.#late?.delete(id)) {
      if (!this.#late.size) this.#late = undefined;
      return false;
    }
    return !!this.#local && !this.#wantsPast && heardHere.has(`${this.#broker} ${id}`);
  }

  #awaitPast(): void {
    this.#wantsPast = true;
    if (this.#connection && !isAway(this.#connection.state)) this.#late = new Map();
  }

  #giveUpPast(): void {
    const late = this.#late;
    this.#late = undefined;
    for (const tell of late?.values() ?? []) tell();
  }

  /** Tells the bytes of a value, inflated, or none when they are corrupt: at once, or when all before it has been told. */
  #inTurn(tell: (bytes: Uint8Array | undefined) => void, data?: Uint8Array): void {
    const bytes = data && this.#inflate(data);
    if (!this.#turn && bytes === data) return tell(data);
    const turn = (this.#turn = Promise.allSettled([bytes, this.#turn]).then(([settled]) => {
      if (this.#turn === turn) this.#turn = undefined;
      tell((settled as { value?: Uint8Array }).value);
    }));
  }

  #inflate(data: Uint8Array): Uint8Array | Promise<Uint8Array> {
    return inflate(data, this.#connection!.messageBytes);
  }

  #dispatch(event: string | undefined, init: MessageEventInit): void {
    this.#dispatchEvent(event && !RESERVED.test(event) ? event : "message", init);
  }

  #dispatchEvent(type: string, init: MessageEventInit): void {
    if (this.#closed) return;
    const event = new MessageEvent(type, init);
    // As an argument, undefined stands for the default, which is null. The native event has no properties of its own.
    if ("data" in init && init.data === undefined) Object.setPrototypeOf(event, { __proto__: MessageEvent.prototype, get data() { return; } });
    this.dispatchEvent(event);
  }

  #status(reason: string): void {
    const { state, transport }: Partial<Connection> = this.#connection ?? { state: "closed" };
    if (isAway(state)) this.#giveUpPast();
    if (!this.#closed) this.dispatchEvent(new CustomEvent("status", { detail: { state, transport, reason } }));
  }
}

// As the platform's interfaces are: https://webidl.spec.whatwg.org/#es-interfaces.
Object.defineProperty(WidecastChannel, "name", { value: "BroadcastChannel" });
for (const member of ["name", "onmessage", "onmessageerror", "postMessage", "close"]) {
  Object.defineProperty(WidecastChannel.prototype, member, { enumerable: true });
}

/** Whether the broker cannot be reached. */
const isAway = (state: string | undefined): boolean => /closed|waiting/.test(state!);

/** The value as it is now, in the form that structured clone gives it: getters are called once, prototypes are gone. */
function snapshot(value: unknown): unknown {
  return Object(value) === value && typeof structuredClone === "function" ? structuredClone(value) : value;
}

function read(data: Uint8Array): unknown {
  return new Reader(data).value();
}

function member({ id, data }: MemberFrame): Member {
  return { id, data: read(data) };
}

function addressOrNone(broker: string | URL | undefined): URL | undefined {
  // A frame that was taken out of its page has hardly anything left, and nobody hears it.
  if (globalThis.closed) return undefined;
  // An opaque origin is the same as no other: its channels are its own, unless it names a broker. A local file's is opaque, too.
  if (broker === undefined && globalThis.origin === "null" && !/^file/.test(location.href)) return undefined;
  try {
    return brokerAddress(broker);
  } catch (error) {
    // A page without an address has no broker of its own, nor has Node; who names a broken address is told.
    if (broker !== undefined) throw error;
    return undefined;
  }
}
