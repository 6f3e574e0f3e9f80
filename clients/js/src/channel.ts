/**
 * A BroadcastChannel (https://html.spec.whatwg.org/multipage/web-messaging.html#broadcasting-to-other-browsing-contexts) that
 * reaches other machines: a message is heard inside the browser at once, and everywhere else through the broker.
 */
import type { ChannelOptions, HistoryQuery, Member, PastMessage, Receipt, UploadOptions } from "./api.js";
import { brokerAddress, connectionTo, SERVED } from "./broker.js";
import { encode, read, utf8Length } from "./codec/index.js";
import type { Connection } from "./connection.js";
import { WidecastError } from "./error.js";
import { type Command, type Frame, type MemberFrame, member } from "./frames.js";
import { Handlers } from "./handlers.js";
import { Hearing } from "./hearing.js";
import { NATIVE } from "./local.js";
import { randomName } from "./random.js";
import { follow } from "./under_way.js";

/** A name that a broker takes: 1 to 255 bytes without control characters or half surrogate pairs. */
const isNetworkName = (name: string): boolean => /^[^\p{Cc}\p{Cs}]+$/u.test(name) && utf8Length(name) <= 255;

/** The parts by which a listener is known. */
type Registration = [type: string, listener: unknown, capture: boolean];

export class WidecastChannel extends EventTarget {
  /** The browser's own BroadcastChannel, if it has one, for where this class has taken its place. */
  static readonly native = NATIVE;
  readonly #name: string;
  readonly #handlers = new Handlers(this);
  /** Its listeners: while it has some, the object is not collected although nobody else may hold it. */
  #listeners: Registration[] = [];
  readonly #hearing: Hearing;
  readonly #connection: Connection | undefined;

  constructor(name: string, options: ChannelOptions | null = {}) {
    super();
    if (!arguments.length) throw new TypeError("an argument is missing");
    this.#name = `${name}`;
    const { broker, order, cursor, history, presence } = options ?? {};
    const own = broker instanceof EventTarget ? (broker as unknown as Connection) : undefined;
    const url = own ? own.broker : addressOrNone(broker as string | URL | undefined);
    const hearing = (this.#hearing = new Hearing(
      this,
      this.#name,
      broker || SERVED ? url?.href : undefined,
      !!(cursor || history),
    ));
    if (order !== "broker") hearing.openLocal();
    if (!url || !isNetworkName(this.#name)) {
      const why = `${this.#name} is heard in this browser only${url ? "" : ": name a broker"}`;
      queueMicrotask(() => hearing.refused(new WidecastError("local_only", why)));
      return;
    }
    const member = presence === undefined || presence === false ? undefined : encode(presence).bytes;
    this.#connection = own ?? connectionTo(url);
    // A member that is present is a tab, not a browser.
    if (member) this.#connection = this.#connection.unshared();
    // The `lastEventId` of a message of this browser is empty.
    hearing.join(this.#connection, { presence: member, history, cursor: cursor || undefined });
  }

  get name(): string {
    return this.#name;
  }

  /** Resolves when every later message will be heard, from wherever. */
  get ready(): Promise<void> {
    const { ready } = this.#hearing;
    // Code that waits for the promise keeps the object.
    const keep = (): unknown => this;
    ready.then(keep, keep);
    return ready;
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
   * @throws InvalidStateError when the channel is closed, DataCloneError when the value cannot be copied,
   * QuotaExceededError when too much waits for the broker.
   */
  postMessage(message: unknown): void {
    if (!arguments.length) throw new TypeError("an argument is missing");
    const hearing = this.#hearing;
    // A page that wants to know how it ends calls `publish`; here an error is told by `status`. A post that waits does not keep the object.
    this.#post(message, undefined).catch((error: unknown) => hearing.status(String(error)));
  }

  /** Sends like `postMessage`, and tells when and where the broker has put the message; it may have an event of a name. */
  async publish(message: unknown, { event }: { event?: string } = {}): Promise<Receipt> {
    return this.#post(message, event);
  }

  /**
   * Publishes a Blob, a File, a FormData (as an object) or any other value by a request of its own, which tells how far it is.
   * All others, those of this browser included, hear it when it has arrived whole; it keeps no order with messages that are posted meanwhile.
   */
  async upload(body: unknown, options: UploadOptions = {}): Promise<Receipt> {
    this.#checkOpen();
    if (!this.#connection) return this.ready as Promise<never>;
    const id = randomName(16);
    this.#hearing.ignore(id);
    return this.#connection.upload(this.#name, id, body, options);
  }

  /** Past messages, oldest first. */
  async history({ since, limit }: HistoryQuery = {}): Promise<PastMessage<any>[]> {
    const { messages } = await this.#ask({ type: "history", channel: this.#name, since: since || undefined, limit });
    return Promise.all(
      messages!.map(async ({ data, event, origin, timestamp, offset, epoch }) => ({
        data: read(await this.#hearing.inflate(data!)),
        event,
        origin: origin!,
        timestamp: timestamp!,
        offset: offset!,
        epoch: epoch!,
        lastEventId: `${epoch}-${offset}`,
      })),
    );
  }

  /** The members that are listed as present. */
  async presence(): Promise<Member[]> {
    const ask = async (after?: string): Promise<MemberFrame[]> => {
      const { members, next } = await this.#ask({ type: "presence", channel: this.#name, after });
      return next ? members!.concat(await ask(next)) : members!;
    };
    return (await ask()).map(member);
  }

  /** Ends the channel object: it hears nothing from now on. Its earlier posts are still sent. */
  close(): void {
    this.#hearing.close();
  }

  // `api.ts` has the types that are published.
  override addEventListener(type: string, listener: any, options?: boolean | AddEventListenerOptions): void {
    const { capture, once, signal } = listenerOptions(options);
    const added: Registration = [type, listener, !!capture];
    if (listener && !this.#find(added)) {
      const forget = (): void => this.#listen(this.#listeners.filter((each) => each !== added));
      this.#listen([...this.#listeners, added]);
      // It comes before the listener, which may add itself again.
      if (once) super.addEventListener(type, forget, { capture: !!capture, once });
      signal?.addEventListener("abort", forget);
    }
    super.addEventListener(type, listener, options);
  }

  override removeEventListener(type: string, listener: any, options?: boolean | EventListenerOptions): void {
    const removed = this.#find([type, listener, !!listenerOptions(options).capture]);
    this.#listen(this.#listeners.filter((each) => each !== removed));
    super.removeEventListener(type, listener, options);
  }

  get [Symbol.toStringTag](): string {
    return "BroadcastChannel";
  }

  #find(registration: Registration): Registration | undefined {
    return this.#listeners.find((each) => each.every((part, i) => part === registration[i]));
  }

  #listen(listeners: Registration[]): void {
    this.#listeners = listeners;
    this.#hearing.keep(listeners.length > 0);
  }

  /** @throws InvalidStateError when the channel is closed. */
  #checkOpen(): void {
    if (this.#hearing.closed) throw new DOMException("the channel is closed", "InvalidStateError");
  }

  #post(message: unknown, event: string | undefined): Promise<Receipt> {
    this.#checkOpen();
    const copy = snapshot(message);
    const encoded = encode(copy);
    this.#connection?.checkRoom(encoded);
    const id = randomName(16);
    let key: string | undefined;
    try {
      key = this.#hearing.post(id, event, copy);
    } catch (error) {
      // Node sends no Blob to several others. They hear it from the broker.
      if (!this.#connection) throw error;
    }
    if (!this.#connection) return this.ready as Promise<never>;
    const receipt = this.#connection.publish(this.#name, { id, event, encoded });
    // What was not told in this browser has to be heard from the broker, whenever an object was opened.
    if (key) follow(key, this.#name, receipt);
    return receipt;
  }

  async #ask(command: Command): Promise<Frame> {
    this.#checkOpen();
    return this.#connection ? this.#connection.request(command) : ((await this.ready) as never);
  }
}

// As the platform's interfaces are: https://webidl.spec.whatwg.org/#es-interfaces.
Object.defineProperty(WidecastChannel, "name", { value: "BroadcastChannel" });
for (const member of ["name", "onmessage", "onmessageerror", "postMessage", "close", "addEventListener", "removeEventListener"]) {
  Object.defineProperty(WidecastChannel.prototype, member, { enumerable: true });
}

/** A listener's options, of which one alone may be given. */
const listenerOptions = (options: boolean | AddEventListenerOptions | undefined): AddEventListenerOptions =>
  Object(options) === options ? (options as AddEventListenerOptions) : { capture: !!options };

/** The value as it is now, in the form that structured clone gives it: getters are called once, prototypes are gone. */
function snapshot(value: unknown): unknown {
  return Object(value) === value && typeof structuredClone === "function" ? structuredClone(value) : value;
}

function addressOrNone(broker: string | URL | undefined): URL | undefined {
  // A frame that was taken out of its page has hardly anything left, and nobody hears it.
  if (globalThis.closed) return undefined;
  // An opaque origin is the same as no other: its channels are its own, unless it names a broker. A local file's is opaque, too.
  if (broker === undefined && globalThis.origin === "null" && !/^file/.test(location.href)) return undefined;
  try {
    return brokerAddress(broker);
  } catch (error) {
    // A page without an address has no broker of its own, nor has Node; a page that names a broken address is told.
    if (broker !== undefined) throw error;
    return undefined;
  }
}
