/**
 * Writes MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), each value in its shortest form.
 */
import { Extension } from "./extension.js";

const encoder = new TextEncoder();
/** Half of a surrogate pair, which UTF-8 cannot hold. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
/** Room for the longest header of an extension: type, length, code. */
const EXTENSION_ROOM = 6;
/** How an integer of 8, 16, 32 or 64 bits is written, with or without a sign. */
const SETTERS = ["setInt8", "setInt16", "setInt32", "setBigInt64"] as const;

/** Bytes that are still to be read from a Blob, and where they go. */
interface Hole {
  at: number;
  blob: Blob;
}

/** A value as bytes, complete once `ready` is (at once when there is none). */
export interface Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many bytes the value has, also when `bytes` are compressed. */
  readonly size: number;
  readonly ready: Promise<unknown> | undefined;
}

/** A value that MessagePack has itself; a function writes any other. Fields that are undefined are left out. */
export type Plain =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Plain[]
  | { readonly [name: string]: Plain | undefined }
  | ((writer: Writer) => void);

/** The bytes of a value. */
export function write(value: Plain): Encoded {
  const writer = new Writer();
  writer.plain(value);
  return writer.finish();
}

/** An extension with its body. */
export const extension =
  (code: number, body: Plain): Plain =>
  (writer) =>
    writer.extension(code, body);

/** Bytes that are MessagePack already. */
export const raw =
  (bytes: Uint8Array): Plain =>
  (writer) =>
    writer.raw(bytes);

export class Writer {
  #bytes = new Uint8Array(128);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #holes: Hole[] = [];

  plain(value: Plain): void {
    if (value === null) this.#byte(0xc0);
    else if (typeof value === "function") value(this);
    else if (typeof value === "string") this.#string(value);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (value instanceof Uint8Array) {
      this.#sized(0xc4, value.length);
      this.raw(value);
    } else if (Array.isArray(value)) {
      this.#container(0x90, 0xdb, value.length);
      for (const item of value) this.plain(item);
    } else this.map(Object.entries(value).filter(([, field]) => field !== undefined) as [string, Plain][]);
  }

  float(value: number): void {
    const at = this.#reserve(9);
    this.#bytes[at] = 0xcb;
    this.#view.setFloat64(at + 1, value);
  }

  /** The bytes of a Blob, which are filled in later: its length is known now. */
  blob(blob: Blob): void {
    this.#sized(0xc4, blob.size);
    this.#holes.push({ at: this.#reserve(blob.size), blob });
  }

  map(entries: [Plain, Plain][]): void {
    this.#container(0x80, 0xdd, entries.length);
    for (const [key, value] of entries) {
      this.plain(key);
      this.plain(value);
    }
  }

  extension(code: number, body: Plain): void {
    const start = this.#reserve(EXTENSION_ROOM);
    this.plain(body);
    const end = this.#at;
    const length = end - start - EXTENSION_ROOM;
    this.#at = start;
    const fixed = [1, 2, 4, 8, 16].indexOf(length);
    if (fixed >= 0) this.#byte(0xd4 + fixed);
    else this.#sized(0xc7, length);
    this.#byte(code);
    const shift = start + EXTENSION_ROOM - this.#at;
    this.#bytes.copyWithin(this.#at, start + EXTENSION_ROOM, end);
    for (const hole of this.#holes) if (hole.at > start) hole.at -= shift;
    this.#at += length;
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** The value that was written. */
  finish(): Encoded {
    const bytes = this.#bytes.slice(0, this.#at);
    const fill = async ({ at, blob }: Hole): Promise<void> => bytes.set(new Uint8Array(await blob.arrayBuffer()), at);
    return { bytes, size: this.#at, ready: this.#holes.length ? Promise.all(this.#holes.map(fill)) : undefined };
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.float(value);
    else if (value >= -0x20 && value < 0x80) this.#byte(value);
    else if (value < 0) this.#sized(0xd0, value, -2 * value - 1);
    else this.#sized(0xcc, value);
  }

  /** A string; one that UTF-8 cannot hold as `Utf16String`. */
  #string(text: string): void {
    if (LONE_SURROGATE.test(text)) {
      const units = Uint16Array.from(text.split(""), (unit) => unit.charCodeAt(0));
      return this.extension(Extension.Utf16String, new Uint8Array(units.buffer));
    }
    const length = utf8Length(text);
    if (length < 32) this.#byte(0xa0 | length);
    else this.#sized(0xd9, length);
    const at = this.#reserve(length);
    encoder.encodeInto(text, this.#bytes.subarray(at));
  }

  /** The head of an array or a map: short, or from the type of the others, of which there is none of 1 byte. */
  #container(short: number, type: number, length: number): void {
    if (length < 16) this.#byte(short | length);
    else this.#sized(type, length, length | 0x100);
  }

  /** A type and an integer of as many bytes as its `size` takes; `type` is that of 1 byte, those of 2, 4 and 8 follow it. */
  #sized(type: number, value: number, size = value): void {
    const place = size < 0x100 ? 0 : size < 0x1_0000 ? 1 : size < 0x1_0000_0000 ? 2 : 3;
    const at = this.#reserve(1 + (1 << place));
    this.#bytes[at] = type + place;
    this.#view[SETTERS[place]!](at + 1, (place < 3 ? value : BigInt(value)) as never);
  }

  #byte(value: number): void {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
  }

  #reserve(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#at, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** How many bytes a text has in UTF-8. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Both halves of a pair together take 4 bytes, 2 each.
    if (unit >= 0x80) length += unit < 0x800 || (unit & 0xf800) === 0xd800 ? 1 : 2;
  }
  return length;
}
