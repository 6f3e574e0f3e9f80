/**
 * The frames of the envelope protocol: commands to the broker, and what it says. Payloads stay bytes: a value that cannot be
 * read concerns its channel only, and each listener has a copy of its own.
 */
import { Reader, Writer } from "./codec/index.js";

/** A member of a channel, its data unread. */
export interface MemberFrame {
  id: string;
  data: Uint8Array;
}

/** Any frame from the broker: the fields that its `type` has. */
export interface Frame {
  type: string;
  id?: number;
  channel?: string;
  cursor?: string;
  code?: string;
  message?: string;
  message_id?: string;
  retryable?: boolean;
  reason?: string;
  reconnect?: boolean;
  reconnect_after_ms?: number;
  session?: string;
  heartbeat_ms?: number;
  limits?: { message_bytes: number; channels: number };
  recovered?: boolean;
  duplicate?: boolean;
  event?: string;
  origin?: string;
  offset?: number;
  epoch?: string;
  timestamp?: number;
  data?: Uint8Array;
  member?: MemberFrame;
  members?: MemberFrame[];
  messages?: Frame[];
  /** Of a `subscribe`. */
  history?: number;
}

/** A field of a command; bytes are MessagePack already. */
type Field = string | number | boolean | Uint8Array | undefined;

/** The bytes of a command; fields that are undefined are left out. */
export function command(fields: Record<string, Field>): Uint8Array<ArrayBuffer> {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  const writer = new Writer();
  writer.map(present.length);
  for (const [name, value] of present) {
    writer.string(name);
    if (typeof value === "string") writer.string(value);
    else if (typeof value === "number") writer.number(value);
    else if (typeof value === "boolean") writer.boolean(value);
    else writer.raw(value as Uint8Array);
  }
  return writer.finish().bytes;
}

/** Several commands as one. */
export function together(commands: Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  if (commands.length === 1) return commands[0]!;
  const writer = new Writer();
  writer.array(commands.length);
  for (const bytes of commands) writer.raw(bytes);
  return writer.finish().bytes;
}

/** Reads a frame or an array of frames. */
export function readFrames(bytes: Uint8Array): Frame[] {
  const reader = new Reader(bytes);
  return reader.peek() === "array" ? readList(reader) : [readMap(reader)];
}

/** Reads the frames of an answer to a poll. */
export function readPoll(bytes: Uint8Array): { session: string; frames: Frame[]; cursor: string } {
  return readMap(new Reader(bytes)) as never;
}

function readList(reader: Reader): Frame[] {
  return Array.from({ length: reader.container("array") }, () => readMap(reader));
}

const LISTS = /^(members|messages|results|frames)$/;

function readMap(reader: Reader): Frame {
  const frame: Record<string, unknown> = {};
  for (let fields = reader.container("map"); fields > 0; fields--) {
    const name = reader.value() as string;
    if (name === "data") frame[name] = reader.skip();
    else if (name === "member") frame[name] = readMap(reader);
    else if (LISTS.test(name)) frame[name] = readList(reader);
    else frame[name] = reader.value();
  }
  return frame as unknown as Frame;
}
