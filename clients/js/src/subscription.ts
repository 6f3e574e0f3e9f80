/**
 * A channel of a session, for several readers, each of which hears it as it wishes and from a place of its own. The channel is joined
 * once. For a reader that asks for the past the session is moved back by another `subscribe`, and a message is told only to readers that
 * have not heard it yet; for a reader that does not, the broker is asked where the channel ends. The session never leaves its place in a
 * channel that keeps nothing: the others could not come back to theirs.
 */
import type { Frame } from "./frames.js";

/** A reader's wishes besides messages. */
export interface Wish {
  /** The data with which the reader is to be listed as a member. */
  presence?: Uint8Array | undefined;
  /** How many of the newest past messages to hear first. */
  history?: number | undefined;
  /** The cursor after which the reader resumes. */
  cursor?: string | undefined;
  /** A token for this channel, to be shown with the question. */
  token?: string | undefined;
}

/** A question to the session about a channel. */
export interface Question extends Wish {
  type: "subscribe" | "history";
  channel: string;
  limit?: number;
}

/** Hears a channel: its messages and gaps, and which members come and go. */
export interface Reader {
  frame(frame: Frame): void;
}

/** Where a reader begins to hear a channel. */
export interface Begin {
  channel: string;
  cursor: string;
  recovered: boolean;
  ephemeral: boolean | undefined;
}

/** Stands between a subscription, its session and its readers. */
export interface Host<Each extends Reader, Own extends Wish> {
  /** Whether the session takes commands. When it does again, `reset` has to be called. */
  isOpen(): boolean;
  /** Asks the broker; hears the answer, unless the session ends before. */
  ask(question: Question, answered: (answer: Frame) => void): void;
  /** A reader will hear everything after the cursor. `recovered`: nothing was lost before. */
  joined(reader: Each, wish: Own, begin: Begin): void;
  /** The broker does not let a reader hear the channel, at least not now; `retry` asks again. */
  refused(reader: Each, wish: Own, answer: Frame, subscription: Subscription<Each, Own>, isFirst: boolean): void;
  /** The last reader has left. */
  left(subscription: Subscription<Each, Own>, isJoined: boolean): void;
}

/** A place in a channel: everything up to it has been heard. */
type Place = [epoch: string, offset: number];

interface State<Own> {
  wish: Own;
  place: Place | undefined;
  /** The broker has to be asked for it first; until then it is told nothing. */
  isWaiting: boolean;
  hasJoined: boolean;
}

export class Subscription<Each extends Reader, Own extends Wish = Wish> {
  readonly #host: Host<Each, Own>;
  readonly #states = new Map<Each, State<Own>>();
  /** Where the session is, if it has joined: behind the readers while messages come again for one of them. */
  #place: Place | undefined;
  /** How far the channel is known to reach. */
  #end: Place | undefined;
  /** Whether the channel has no past, so that a wish for it means nothing. */
  #isEphemeral: boolean | undefined;
  /** The data with which the session is listed. */
  #listed: string | undefined;
  /** The question to the broker that was not answered yet. */
  #asked: Question | undefined;

  constructor(
    readonly channel: string,
    host: Host<Each, Own>,
  ) {
    this.#host = host;
  }

  get readers(): Each[] {
    return [...this.#states.keys()];
  }

  /** The data with which the readers are listed. */
  get presence(): Uint8Array | undefined {
    for (const { wish } of this.#states.values()) if (wish.presence) return wish.presence;
    return undefined;
  }

  /** Lets a reader hear the channel; one that does so already begins anew. */
  add(reader: Each, wish: Own): void {
    this.#states.set(reader, { wish, place: undefined, isWaiting: true, hasJoined: false });
    this.#ask();
  }

  /** Returns whether it was a reader. */
  remove(reader: Each): boolean {
    const wasReader = this.#states.delete(reader);
    const [first] = this.#states.values();
    // The readers that are left have to be listed as they wish.
    if (first && this.#place && this.#listed !== `${this.presence}`) miss(first);
    this.#ask();
    return wasReader;
  }

  /** The session is another, and has not joined the channel yet. */
  reset(): void {
    this.#place = this.#isEphemeral = this.#listed = this.#asked = undefined;
    for (const state of this.#states.values()) miss(state);
    this.#ask();
  }

  /** The broker has ended it: it has no readers any more, and takes no answer. */
  end(): void {
    this.#asked = undefined;
    this.#states.clear();
  }

  /** Has the host show another token for the channel; the session stays where it is. If that fails, the channel is joined anew once it is left. */
  renew(): void {
    if (!this.#asked) this.#question({ type: "subscribe", channel: this.channel }, () => {});
  }

  /** Asks again for a reader that was refused. */
  retry(reader: Each): void {
    const state = this.#states.get(reader);
    // If it has left meanwhile, so may the subscription have, and another may stand in its place.
    if (!state) return;
    miss(state);
    this.#ask();
  }

  /** Tells readers of a message or gap that they have not heard, and those that are listed of members that come and go. */
  frame(frame: Frame): void {
    // Readers that come while it is told are not told.
    const states = [...this.#states];
    if (frame.member) {
      for (const [reader, { wish }] of states) if (wish.presence) reader.frame(frame);
      return;
    }
    frame.cursor ??= `${frame.epoch}-${frame.offset}`;
    const place = parse(frame.cursor);
    if (this.#place) this.#place = place;
    this.#reach(place);
    for (const [reader, state] of states) {
      if (this.#states.get(reader) !== state || state.isWaiting || !state.place || covers(state.place, place)) continue;
      state.place = place;
      reader.frame(frame);
    }
  }

  /** Asks the broker for the readers that wait, one question at a time. */
  #ask(): void {
    const isOpen = this.#host.isOpen();
    if (isOpen && this.#asked) return;
    if (!this.#states.size) return this.#host.left(this, !!this.#place);
    if (!isOpen) return;
    const waiting = [...this.#states].filter(([, { isWaiting }]) => isWaiting);
    if (this.#isEphemeral) for (const [, state] of waiting) state.wish = { ...state.wish, ...NO_PAST };
    const staying = waiting.filter(([, { wish }]) => this.#canStay(wish));
    const known = staying.filter(([, { wish }]) => wish.cursor);
    if (known.length) {
      this.#stay(known);
    } else if (staying.length) {
      this.#question({ type: "history", channel: this.channel, limit: 0 }, ({ cursor }) => {
        if (cursor) this.#reach(parse(cursor));
        this.#stay(staying);
      });
    } else if (waiting[0]) {
      const [reader, { wish }] = waiting[0];
      const { presence } = this;
      this.#question({ type: "subscribe", channel: this.channel, ...wish, presence }, (answer) => {
        this.#listed = `${presence}`;
        this.#moved(reader, wish, answer);
      });
    }
  }

  #question(question: Question, answered: (answer: Frame) => void): void {
    this.#asked = question;
    this.#host.ask(question, (answer) => {
      if (this.#asked !== question) return;
      this.#asked = undefined;
      answered(answer);
      this.#ask();
    });
  }

  /** Whether the session can stay where it is for this wish. */
  #canStay({ cursor, history }: Wish): boolean {
    if (!this.#place || this.#listed !== `${this.presence}`) return false;
    return cursor ? covers(parse(cursor), this.#place) && covers(this.#end!, parse(cursor)) : !history;
  }

  /** Lets readers hear the channel for which the session can stay where it is. */
  #stay(readers: [Each, State<Own>][]): void {
    for (const [reader, state] of readers) {
      const { cursor } = state.wish;
      // Meanwhile it may have left, or the session may have gone past its place.
      if (this.#states.get(reader) === state && this.#canStay(state.wish))
        this.#settle(reader, state, cursor ? parse(cursor) : this.#end!, true);
    }
    this.#ask();
  }

  /** The session has left the channel and joined it anew, for a reader. */
  #moved(reader: Each, wish: Own, answer: Frame): void {
    const place = answer.cursor ? parse(answer.cursor) : undefined;
    this.#place = place;
    this.#isEphemeral = answer.ephemeral;
    if (place) this.#reach(place);
    const state = this.#states.get(reader);
    // A reader that has not heard everything up to the new place has to go back to its own.
    for (const each of this.#states.values())
      if (each !== state && each.place && !(place && covers(each.place, place))) miss(each);
    if (state?.wish !== wish) return;
    if (place) return this.#settle(reader, state, place, answer.recovered !== false);
    state.isWaiting = false;
    state.place = undefined;
    this.#host.refused(reader, wish, answer, this, !state.hasJoined);
  }

  #settle(reader: Each, state: State<Own>, place: Place, recovered: boolean): void {
    const { wish, hasJoined } = state;
    const begin = { channel: this.channel, cursor: place.join("-"), recovered, ephemeral: this.#isEphemeral };
    state.place = place;
    state.isWaiting = false;
    state.hasJoined = true;
    if (!hasJoined) this.#host.joined(reader, wish, begin);
    else if (!recovered) reader.frame({ type: "gap", ...begin });
  }

  #reach(place: Place): void {
    if (!this.#end || !covers(this.#end, place)) this.#end = place;
  }
}

const NO_PAST = { cursor: undefined, history: undefined };

/** A reader has to be asked for: it wishes to go on from its place, if it has one. */
function miss(state: State<Wish>): void {
  state.isWaiting = true;
  // The session has seen its token.
  if (state.place) state.wish = { ...state.wish, ...NO_PAST, cursor: state.place.join("-"), token: undefined };
}

/** Whether a reader at one place has heard everything up to another. */
export const covers = ([epoch, offset]: Place, [other, upTo]: Place): boolean => epoch === other && offset >= upTo;

export function parse(cursor: string): Place {
  const [epoch, offset] = cursor.split("-");
  return [epoch!, Number(offset)];
}
