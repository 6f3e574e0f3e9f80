/**
 * Brings a channel object its messages: those of this browser at once, those of the broker when they come, each once and in order. It holds
 * the object weakly: one that nobody holds and nobody listens to can be collected, as the standard has it for BroadcastChannel.
 */
import { inflate, read } from "./codec/index.js";
import type { Connection } from "./connection.js";
import { WidecastError } from "./error.js";
import { type Frame, member } from "./frames.js";
import { heardBefore, REMEMBERED } from "./heard.js";
import { Local, type LocalListener, type LocalMessage } from "./local.js";
import { covers, parse, type Wish } from "./subscription.js";
import type { ChannelListener } from "./subscriptions.js";
import { askForPosts, remember, wasHeardHere } from "./under_way.js";

/** Events with a meaning of their own: a message whose event is called so is a plain message. */
const RESERVED = /^(message|messageerror|join|leave|gap|status|error)$/;

/** Leaves the channel of an object that was collected. */
const collected = new FinalizationRegistry<Hearing>((hearing) => hearing.close());

export class Hearing implements ChannelListener, LocalListener {
  readonly ready: Promise<void>;
  readonly #object: WeakRef<EventTarget>;
  readonly #name: string;
  /** The broker's address, unless it is a guess. */
  readonly #broker: string | undefined;
  /** The messages that the broker has brought. */
  readonly #heard = new Set<string>();
  /**
   * Those that the broker is still to bring although they are not for the object then: its own, and what it has heard at once. They are apart
   * from the others, of which any number may come before them.
   */
  readonly #toCome = new Set<string>();
  #settle!: { resolve: () => void; reject: (error: unknown) => void };
  #local: Local | undefined;
  #connection: Connection | undefined;
  closed = false;
  /** The object while it must not be collected. */
  #kept: EventTarget | undefined;
  /** Whether it is kept also when nobody listens, since it is listed. */
  #isListed = false;
  /** Whether it hears messages from the broker that were posted in this browser before: it has missed them, or asked for them. */
  #wantsPast: boolean;
  /**
   * Until the past has been heard, messages of this browser are left to the broker, which brings them in their place. These are they, by
   * their ids, until the object is where the past ends, or the broker cannot be reached; then they are told.
   */
  #late: Map<string, () => unknown> | undefined;
  /** The cursor up to which everything was heard, and that at the end of the past. */
  #cursor: string | undefined;
  #pastEnd: string | undefined;
  /** Resolves when all earlier messages have been told: inflating takes its time. */
  #turn: Promise<void> | undefined;

  constructor(object: EventTarget, name: string, broker: string | undefined, wantsPast: boolean) {
    this.#object = new WeakRef(object);
    this.#name = name;
    this.#broker = broker;
    this.#wantsPast = wantsPast;
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready.catch(() => {});
    collected.register(object, this, this);
  }

  /** Hears this browser. */
  openLocal(): void {
    this.#local = new Local(`widecast channel ${this.#name}`, this);
    askForPosts(this.#name);
  }

  /** Hears the broker. */
  join(connection: Connection, wish: Wish): void {
    this.#connection = connection;
    this.#isListed = !!wish.presence;
    this.keep(false);
    connection.join(this.#name, this, wish);
    if (this.#wantsPast) this.#awaitPast();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#kept = undefined;
    // An error remembers the callers of the function that has made it: that of `ready` would hold the object.
    collected.unregister(this);
    this.#local?.close();
    this.#connection?.leave(this.#name, this);
    this.#settle.reject(new WidecastError("closed", "the channel is closed"));
  }

  /**
   * Delivers a message of the object in this browser. The object does not hear it, whichever way it comes back. Returns the key by which
   * contexts know the message, unless it comes from the broker alone.
   */
  post(id: string, event: string | undefined, data: unknown): string | undefined {
    // It comes back from the broker, which does not know which of the objects that share a connection has sent it.
    this.ignore(id);
    if (!this.#local) return undefined;
    this.#local.post([id, event, data, this.#broker]);
    const key = this.#key(id);
    remember(key);
    return key;
  }

  /** A message of this id is not heard when the broker brings it. Returns whether that was known. */
  ignore(id: string): boolean {
    return heardBefore(this.#toCome, id, REMEMBERED + 2 * (this.#connection?.queueMessages ?? 0));
  }

  /** A message of this browser. @internal */
  message([id, event, data, broker]: LocalMessage, origin: string): void {
    // An object that only guesses its broker hears all others, and is heard by all.
    if (broker && this.#broker && broker !== this.#broker) return;
    remember(this.#key(id));
    const tell = (): unknown =>
      this.#heard.has(id) || this.ignore(id) || this.#inTurn(() => this.#dispatch(event, { data, origin }));
    if (this.#late) this.#late.set(id, tell);
    else tell();
  }

  error(origin: string): void {
    this.#dispatchEvent("messageerror", { origin });
  }

  missed(): void {
    this.#awaitPast();
  }

  /** A frame of the channel from the broker. */
  frame(frame: Frame): void {
    this.#hear(frame);
    this.#reach(frame.cursor);
  }

  #hear({ type, message_id, event, origin, data, cursor, member: who }: Frame): void {
    if (type !== "message")
      return this.#inTurn(() => this.#dispatchEvent(type, who ? { data: member(who) } : { lastEventId: cursor! }));
    if (message_id && this.#isKnown(message_id)) return;
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
  }

  joined(cursor: string): void {
    this.#reach(cursor);
    this.#settle.resolve();
  }

  refused(error: unknown): void {
    this.#settle.reject(error);
    this.#giveUpPast();
    this.status(String(error));
  }

  status(reason: string): void {
    const { state, transport }: Partial<Connection> = this.#connection ?? { state: "closed" };
    if (isAway(state)) this.#giveUpPast();
    this.#tell(new CustomEvent("status", { detail: { state, transport, reason } }));
  }

  inflate(data: Uint8Array): Uint8Array | Promise<Uint8Array> {
    return inflate(data, this.#connection!.messageBytes);
  }

  /** Keeps the object while it is listened to, or listed. Messages that come while nobody listens are not told, then or later. */
  keep(hasListeners: boolean): void {
    if (this.closed) return;
    if (hasListeners && !this.#kept && this.#local) askForPosts(this.#name);
    this.#kept = hasListeners || this.#isListed ? this.#object.deref() : undefined;
    this.#local?.listen(hasListeners);
  }

  /** Whether a message that comes from the broker was heard before, or is not to be heard. */
  #isKnown(id: string): boolean {
    const hasCome = this.#toCome.delete(id);
    // One that is too late when the broker brings it may still come from the tab.
    return this.#isOld(id) || heardBefore(this.#heard, id) || hasCome;
  }

  /** Whether a message that comes from the broker was heard here before this channel was opened, which is too late for it. */
  #isOld(id: string): boolean {
    return !this.#late?.delete(id) && !!this.#local && !this.#wantsPast && wasHeardHere(this.#key(id));
  }

  #key(id: string): string {
    return `${this.#broker} ${id}`;
  }

  #awaitPast(): void {
    this.#wantsPast = true;
    const connection = this.#connection;
    if (!connection || isAway(connection.state)) return;
    this.#late = new Map();
    this.#pastEnd = undefined;
    connection.request({ type: "history", channel: this.#name, limit: 0 }).then(
      ({ cursor }) => {
        this.#pastEnd = cursor;
        this.#reach();
      },
      () => this.#giveUpPast(),
    );
  }

  /** Everything up to a cursor was heard. */
  #reach(cursor = this.#cursor): void {
    this.#cursor = cursor;
    if (cursor && this.#pastEnd && covers(parse(cursor), parse(this.#pastEnd))) this.#giveUpPast();
  }

  #giveUpPast(): void {
    const late = this.#late;
    this.#late = undefined;
    for (const tell of late?.values() ?? []) tell();
  }

  /** Tells the bytes of a value, inflated, or none when they are corrupt: at once, or when all before it has been told. */
  #inTurn(tell: (bytes: Uint8Array | undefined) => void, data?: Uint8Array): void {
    // An object that nobody listens to is told nothing.
    if (!this.#kept) return;
    const bytes = data && this.inflate(data);
    if (!this.#turn && bytes === data) return tell(data);
    const turn = (this.#turn = Promise.allSettled([bytes, this.#turn]).then(([settled]) => {
      if (this.#turn === turn) this.#turn = undefined;
      tell((settled as { value?: Uint8Array }).value);
    }));
  }

  #dispatch(event: string | undefined, init: MessageEventInit): void {
    this.#dispatchEvent(event && !RESERVED.test(event) ? event : "message", init);
  }

  #dispatchEvent(type: string, init: MessageEventInit): void {
    const event = new MessageEvent(type, init);
    // As an argument, undefined stands for the default, which is null. The native event has no properties of its own.
    if ("data" in init && init.data === undefined)
      Object.setPrototypeOf(event, {
        __proto__: MessageEvent.prototype,
        get data() {
          return undefined;
        },
      });
    this.#tell(event);
  }

  #tell(event: Event): void {
    if (!this.closed) this.#object.deref()?.dispatchEvent(event);
  }
}

/** Whether the broker cannot be reached. */
const isAway = (state: string | undefined): boolean => state === "closed" || state === "waiting";
