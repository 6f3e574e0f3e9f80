/**
 * One session for many: the connections of several tabs use it as if each had one of its own. A channel is joined once and
 * heard by all who asked for it, each from its own place: the first `subscribe` goes to the broker as it is, and so does a later
 * one that asks for the past. The session is then moved back, and only who has not heard a message yet is told it again.
 */
import { command, type Frame, readFrames } from "./frames.js";
import type { Line, LineListener } from "./line.js";

/** The ids of a connection's commands are so many in a row, by which an answer finds its way. */
export const COMMAND_IDS = 2 ** 22;

/** A `subscribe` and who wants it. */
interface Ask {
  client: LineListener;
  frame: Frame;
  bytes: Uint8Array<ArrayBuffer>;
  /** Whoever wanted it has left again. */
  isGone?: boolean;
}

/** A channel that the session has joined, or is joining. */
interface Stream {
  epoch: string;
  /** How far the session is; behind `newest` while messages come again for somebody. */
  place: number;
  newest: number;
  /** Up to where each has heard it. */
  readonly places: Map<LineListener, number>;
  /** What the broker is asked, and what has to wait for its answer. */
  asking: Ask | undefined;
  waiting: Ask[];
}

export class Hub implements LineListener {
  readonly line: Line;
  readonly #clients = new Set<LineListener>();
  /** Whose the ids of commands are. */
  readonly #owners = new Map<number, LineListener>();
  readonly #streams = new Map<string, Stream>();
  /** What to do with the answers to commands that are the hub's own affair. */
  readonly #asked = new Map<number, (answer: Frame) => void>();
  readonly #outgoing: Uint8Array<ArrayBuffer>[] = [];
  #welcome!: Frame;

  constructor(dial: (listener: LineListener) => Line) {
    this.line = dial(this);
  }

  add(client: LineListener): void {
    this.#clients.add(client);
    if (this.line.state === "open") client.opened(this.#welcome);
    else client.changed("");
  }

  remove(client: LineListener): void {
    this.#clients.delete(client);
    this.#forget(client);
    for (const [slot, owner] of this.#owners) if (owner === client) this.#owners.delete(slot);
  }

  /** Has a client take everything up again. */
  restart(client: LineListener): void {
    if (this.line.state !== "open") return;
    this.#forget(client);
    client.opened(this.#welcome);
  }

  close(): void {
    this.#clients.clear();
    this.line.close("");
  }

  /** Takes a client's commands. While the line is not open they are lost: they come again when it is. */
  send(client: LineListener, commands: Uint8Array<ArrayBuffer>[]): void {
    for (const bytes of commands) {
      const frame = readFrames(bytes)[0]!;
      if (frame.id) this.#owners.set(slot(frame.id), client);
      if (frame.type === "subscribe") this.#subscribe({ client, frame, bytes });
      else if (frame.type === "unsubscribe") this.#leave(client, frame.channel!);
      else this.#send(bytes);
    }
  }

  opened(welcome: Frame): void {
    this.#welcome = welcome;
    this.#streams.clear();
    this.#asked.clear();
    this.#outgoing.length = 0;
    for (const client of this.#clients) client.opened(welcome);
  }

  changed(reason: string): void {
    for (const client of this.#clients) client.changed(reason);
  }

  frame(frame: Frame): void {
    const { id, channel } = frame;
    if (id !== undefined) {
      const answered = this.#asked.get(id);
      this.#asked.delete(id);
      if (answered) answered(frame);
      else this.#owners.get(slot(id))?.frame(frame);
    } else if (channel === undefined) {
      for (const client of this.#clients) client.frame(frame);
    } else {
      const stream = this.#streams.get(channel);
      if (frame.type === "unsubscribed") this.#streams.delete(channel);
      if (stream) deliver(stream, frame);
    }
  }

  #subscribe(ask: Ask): void {
    const { client, frame } = ask;
    const { id, channel, cursor, history } = frame;
    const stream = this.#streams.get(channel!);
    if (!stream) {
      const fresh = { epoch: "", place: 0, newest: 0, places: new Map(), asking: undefined, waiting: [] };
      this.#streams.set(channel!, fresh);
      return this.#join(fresh, ask);
    }
    if (stream.asking) return void stream.waiting.push(ask);
    const [epoch, offset] = parse(cursor);
    if (epoch === stream.epoch && offset >= stream.place) return start(stream, ask, offset);
    if (cursor || history) return this.#join(stream, ask);
    // It begins where the stream is when the broker has heard of it, and hears nothing until then.
    stream.places.set(client, Infinity);
    this.#asked.set(id!, () => stream.places.has(client) && start(stream, ask, stream.newest));
    this.#send(command({ type: "ping", id }));
  }

  #join(stream: Stream, ask: Ask): void {
    stream.asking = ask;
    this.#asked.set(ask.frame.id!, (answer) => this.#joined(stream, ask, answer));
    this.#send(ask.bytes);
  }

  #joined(stream: Stream, ask: Ask, answer: Frame): void {
    const { client, frame } = ask;
    const isRefused = answer.type === "error";
    const [epoch, offset] = parse(answer.cursor);
    // To join again is to leave first: what was published between is missing to all who had not heard it.
    const missed = [...stream.places].filter(
      ([other, place]) => other !== client && (isRefused || epoch !== stream.epoch || place < offset),
    );
    for (const [other] of missed) stream.places.delete(other);
    stream.asking = undefined;
    if (isRefused) {
      this.#streams.delete(frame.channel!);
    } else {
      stream.newest = epoch === stream.epoch ? Math.max(stream.newest, offset) : offset;
      stream.epoch = epoch;
      stream.place = offset;
      if (!ask.isGone) stream.places.set(client, offset);
    }
    const waiting = stream.waiting.splice(0);
    client.frame(answer);
    for (const next of waiting) this.#subscribe(next);
    for (const [other] of missed) this.restart(other);
    this.#tidy(frame.channel!);
  }

  #forget(client: LineListener): void {
    for (const channel of [...this.#streams.keys()]) this.#leave(client, channel);
  }

  #leave(client: LineListener, channel: string): void {
    const stream = this.#streams.get(channel);
    if (!stream) return;
    stream.places.delete(client);
    stream.waiting = stream.waiting.filter((ask) => ask.client !== client);
    if (stream.asking?.client === client) stream.asking.isGone = true;
    this.#tidy(channel);
  }

  /** Leaves a channel that nobody wants any more. */
  #tidy(channel: string): void {
    const stream = this.#streams.get(channel);
    if (!stream || stream.asking || stream.waiting.length || stream.places.size) return;
    this.#streams.delete(channel);
    this.#send(command({ type: "unsubscribe", channel }));
  }

  /** What is sent in one go stays together. */
  #send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#outgoing.push(bytes) > 1) return;
    queueMicrotask(() => {
      const commands = this.#outgoing.splice(0);
      if (commands.length && this.line.state === "open") this.line.send(commands);
    });
  }
}

/** Tells a client that it hears a channel from a place on. */
function start(stream: Stream, { client, frame: { id, channel } }: Ask, offset: number): void {
  stream.places.set(client, offset);
  client.frame({ type: "subscribed", id: id!, channel: channel!, cursor: `${stream.epoch}-${offset}`, recovered: true });
}

/** Passes a frame of a channel to all who have not heard it. */
function deliver(stream: Stream, frame: Frame): void {
  const [epoch, offset] = frame.cursor ? parse(frame.cursor) : [frame.epoch, frame.offset];
  if (offset !== undefined) {
    if (epoch !== stream.epoch) {
      stream.epoch = epoch!;
      stream.newest = 0;
      for (const client of stream.places.keys()) stream.places.set(client, 0);
    }
    stream.place = offset;
    stream.newest = Math.max(stream.newest, offset);
  }
  for (const [client, place] of stream.places) {
    if (offset !== undefined && offset <= place) continue;
    if (offset !== undefined) stream.places.set(client, offset);
    client.frame(frame);
  }
}

function slot(id: number): number {
  return Math.floor(id / COMMAND_IDS);
}

function parse(cursor = ""): [epoch: string, offset: number] {
  const [epoch, offset] = cursor.split("-");
  return [epoch!, Number(offset)];
}
