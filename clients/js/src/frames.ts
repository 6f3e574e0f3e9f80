/**
 * The frames of the envelope protocol: commands to the broker, and its answers and news. Payloads stay bytes: a value that cannot be
 * read concerns its channel only, and each listener has a copy of its own.
 */
import type { Member } from "./api.js";
import { raw, Reader, write } from "./codec/index.js";

/** A member of a channel, its data unread. */
export interface MemberFrame {
  id: string;
  data: Uint8Array;
}

/** A member as its page sees it. */
export const member = ({ id, data }: MemberFrame): Member => ({ id, data: new Reader(data).value() });

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
  retry_after_ms?: number;
  reason?: string;
  reconnect?: boolean;
  reconnect_after_ms?: number;
  session?: string;
  heartbeat_ms?: number;
  limits?: { message_bytes: number; channels: number };
  recovered?: boolean;
  /** Whether the channel keeps nothing. */
  ephemeral?: boolean | undefined;
  duplicate?: boolean;
  event?: string;
  origin?: string;
  offset?: number;
  epoch?: string;
  timestamp?: number;
  /** In seconds since 1970. */
  expires_at?: number;
  user?: string;
  data?: Uint8Array;
  member?: MemberFrame;
  members?: MemberFrame[];
  /** Where the next page of members begins. */
  next?: string;
  messages?: Frame[];
}

/** A command to the broker: the fields that its `type` has. `data` and `presence` are MessagePack already. */
export interface Command {
  type: "authenticate" | "history" | "ping" | "presence" | "publish" | "subscribe" | "unsubscribe";
  id?: number;
  channel?: string;
  token?: string;
  cursor?: string | undefined;
  history?: number | undefined;
  presence?: Uint8Array | undefined;
  since?: string | undefined;
  after?: string | undefined;
  limit?: number | undefined;
  event?: string | undefined;
  message_id?: string;
  data?: Uint8Array;
}

/** The bytes of a command; fields that are undefined are left out. */
export const encodeCommand = ({ data, presence, ...fields }: Command): Uint8Array<ArrayBuffer> =>
  write({ ...fields, presence: presence && raw(presence), data: data && raw(data) }).bytes;

/** Several commands as one. */
export function together(commands: Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  return commands.length === 1 ? commands[0]! : write(commands.map(raw)).bytes;
}

/** Reads a frame or an array of frames. */
export function readFrames(bytes: Uint8Array): Frame[] {
  return [read(bytes)].flat() as Frame[];
}

/** Reads the frames of an answer to a poll. */
export function readPoll(bytes: Uint8Array): { session: string; frames: Frame[]; cursor: string } {
  return read(bytes) as never;
}

const read = (bytes: Uint8Array): unknown => new Reader(bytes, "data").value();
