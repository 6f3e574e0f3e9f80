/**
 * One session for many: the connections of several tabs use it as if each had one of its own. A channel is joined once and
 * heard by all who asked for it, each from its own place: the first `subscribe` goes to the broker as it is, and so does a later
 * one that asks for the past. The session is then moved back, and only who has not heard a message yet is told it again.
 */
import { command, type Frame, readFrames } from "./frames.js";
import type { Dial, Line, LineListener } from "./line.js";

/** The ids of a connection's commands are so many in a row, by which an answer finds its way. */
export const COMMAND_IDS = 2 ** 22;

/** A `subscribe` and who wants it. */
interface Ask {
  /** None when it has left again. */
  client: LineListener | undefined;
  frame: Frame;
  bytes: Uint8Array<ArrayBuffer>;
}

/** A channel that the session has joined, or is joining. */
interface Stream {
  epoch: string;
  /** How far the session is; behind the clients while messages come again for one of them. */
  place: number;
  /** Up to where each client has heard it. */
  places: Map<LineListener, number>;
  /** What the broker is asked first, and what has to wait for its answer. */
  asks: Ask[];
}

export class Hub implements LineListener {
  readonly line: Line;
  /** Who uses the session, and which ids they have. */
  readonly #clients = new Map<LineListener, number>();
  readonly #streams = new Map<string, Stream>();
  /** What to do with the answers to a `subscribe`. */
  readonly #joining = new Map<number, (answer: Frame) => void>();
  #welcome: Frame | undefined;

  constructor(dial: Dial, retry: () => void) {
    this.line = dial(this, retry);
  }

  /** Whether the line has ever been open. */
  get hasOpened(): boolean {
    return !!this.#welcome;
  }

  add(client: LineListener): void {
    this.#clients.set(client, 0);
    if (this.line.state === "open") client.opened(this.#welcome!);
    else client.changed("");
  }

  remove(client: LineListener): void {
    this.#clients.delete(client);
    for (const channel of this.#streams.keys()) this.#leave(client, channel);
  }

  /** Has a client take everything up again. */
  restart(client: LineListener): void {
    this.remove(client);
    this.add(client);
  }

  close(): void {
    this.#clients.clear();
    this.line.close("");
  }

  /** Takes a client's commands. While the line is not open they are lost: they come again when it is. */
  send(client: LineListener, commands: Uint8Array<ArrayBuffer>[]): void {
    this.#send(
      commands.filter((bytes) => {
        const frame = readFrames(bytes)[0]!;
        if (frame.id) this.#clients.set(client, slot(frame.id));
        if (frame.type === "subscribe") this.#subscribe({ client, frame, bytes });
        else if (frame.type === "unsubscribe") this.#leave(client, frame.channel!);
        else return true;
        return false;
      }),
    );
  }

  opened(welcome: Frame): void {
    this.#welcome = welcome;
    this.#streams.clear();
    this.#joining.clear();
    for (const client of this.#clients.keys()) client.opened(welcome);
  }

  changed(reason: string): void {
    for (const client of this.#clients.keys()) client.changed(reason);
  }

  frame(frame: Frame): void {
    const { id, channel } = frame;
    // Who is asked who it is joins all its channels anew.
    if (frame.type === "auth_required") this.#streams.clear();
    const joined = this.#joining.get(id!);
    const stream = this.#streams.get(channel!);
    if (joined) joined(frame);
    else if (stream && id === undefined) deliver(stream, frame);
    else if (id !== undefined || channel === undefined) {
      for (const [client, own] of this.#clients) if (id === undefined || slot(id) === own) client.frame(frame);
    }
  }

  #subscribe(ask: Ask): void {
    const { client, frame } = ask;
    const { id, channel, cursor, history } = frame;
    const stream: Stream = this.#streams.get(channel!) ?? { epoch: "", place: 0, places: new Map(), asks: [] };
    this.#streams.set(channel!, stream);
    if (stream.epoch && !stream.asks.length) {
      // A tab that asks for nothing hears what is newer than all that was heard.
      const newest = `${stream.epoch}-${Math.max(stream.place, ...stream.places.values())}`;
      const from = cursor ?? (history ? "" : newest);
      const [epoch, offset] = parse(from);
      if (epoch === stream.epoch && offset >= stream.place) {
        stream.places.set(client!, offset);
        return client!.frame({ type: "subscribed", id: id!, channel: channel!, cursor: from, recovered: true });
      }
    }
    if (stream.asks.push(ask) > 1) return;
    this.#joining.set(id!, (answer) => this.#joined(stream, answer));
    this.#send([ask.bytes]);
  }

  #joined(stream: Stream, answer: Frame): void {
    const [{ client, frame }, ...waiting] = stream.asks as [Ask, ...Ask[]];
    const channel = frame.channel!;
    const [epoch, offset] = parse(answer.cursor);
    this.#joining.delete(frame.id!);
    stream.asks = [];
    // To join again is to leave first: who had not heard all that was published between has to join again, too.
    const missed = [...stream.places].filter(([other, place]) => other !== client && !(epoch === stream.epoch && place >= offset));
    if (answer.cursor) {
      stream.epoch = epoch;
      stream.place = offset;
      if (client) stream.places.set(client, offset);
    } else {
      this.#streams.delete(channel);
    }
    client?.frame(answer);
    for (const ask of waiting) if (ask.client) this.#subscribe(ask);
    for (const [other] of missed) this.restart(other);
    this.#tidy(channel);
  }

  #leave(client: LineListener, channel: string): void {
    const stream = this.#streams.get(channel);
    stream?.places.delete(client);
    for (const ask of stream?.asks ?? []) if (ask.client === client) ask.client = undefined;
    this.#tidy(channel);
  }

  /** Leaves a channel that nobody wants any more. */
  #tidy(channel: string): void {
    const stream = this.#streams.get(channel);
    if (!stream || stream.asks.length || stream.places.size) return;
    this.#streams.delete(channel);
    this.#send([command({ type: "unsubscribe", channel })]);
  }

  #send(commands: Uint8Array<ArrayBuffer>[]): void {
    if (commands.length && this.line.state === "open") this.line.send(commands);
  }
}

/** Passes a message, or what is told of a gap, to all who have not heard it. */
function deliver(stream: Stream, frame: Frame): void {
  const [epoch, offset] = parse(frame.cursor ?? `${frame.epoch}-${frame.offset}`);
  const isNew = epoch !== stream.epoch;
  stream.epoch = epoch;
  stream.place = offset;
  for (const [client, place] of stream.places) {
    if (!isNew && offset <= place) continue;
    stream.places.set(client, offset);
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
