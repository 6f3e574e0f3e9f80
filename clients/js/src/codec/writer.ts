/**
 * Writes MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), each value in its shortest form.
 */
import { Extension } from "./extension.js";

const encoder = new TextEncoder();
/** Half of a surrogate pair, which UTF-8 cannot hold. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
/** Room for the longest header of an extension: type, length, code. */
const EXTENSION_ROOM = 6;

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
  readonly ready: Promise<void> | undefined;
}

/** What MessagePack has itself; a function writes anything else. Fields that are undefined are left out. */
export type Plain =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Plain[]
  | { readonly [name: string]: Plain | undefined }
  | ((writer: Writer) => void);

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
    else if (value instanceof Uint8Array) this.#head(0xc4, value.length).raw(value);
    else if (Array.isArray(value)) this.array(value.length, value);
    else this.#object(Object.entries(value).filter(([, field]) => field !== undefined) as [string, Plain][]);
  }

  float(value: number): void {
    this.#fixed(0xcb, "setFloat64", 8, value);
  }

  /** The bytes of a Blob, which are filled in later: its length is known now. */
  blob(blob: Blob): void {
    this.#head(0xc4, blob.size);
    this.#holes.push({ at: this.#reserve(blob.size), blob });
  }

  /** An array of so many items, with all of them or with those that follow. */
  array(length: number, items: readonly Plain[] = []): void {
    if (length < 16) this.#byte(0x90 | length);
    else this.#head(0xdb, length);
    for (const item of items) this.plain(item);
  }

  /** A map of so many entries, which follow. */
  map(size: number): void {
    if (size < 16) this.#byte(0x80 | size);
    else this.#head(0xdd, size);
  }

  /** An extension, and what is in it. */
  extension(code: number, body: Plain): void {
    const start = this.#reserve(EXTENSION_ROOM);
    this.plain(body);
    const end = this.#at;
    const length = end - start - EXTENSION_ROOM;
    this.#at = start;
    const fixed = [1, 2, 4, 8, 16].indexOf(length);
    if (fixed >= 0) this.#byte(0xd4 + fixed);
    else this.#head(0xc7, length);
    this.#byte(code & 0xff);
    const shift = start + EXTENSION_ROOM - this.#at;
    this.#bytes.copyWithin(this.#at, start + EXTENSION_ROOM, end);
    for (const hole of this.#holes) if (hole.at > start) hole.at -= shift;
    this.#at += length;
  }

  /** Bytes that are MessagePack already. */
  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** What was written. */
  finish(): Encoded {
    const bytes = this.#bytes.slice(0, this.#at);
    const holes = this.#holes;
    const size = this.#at;
    if (!holes.length) return { bytes, size, ready: undefined };
    const fill = async ({ at, blob }: Hole) => bytes.set(new Uint8Array(await blob.arrayBuffer()), at);
    return { bytes, size, ready: Promise.all(holes.map(fill)).then(() => {}) };
  }

  #object(entries: [string, Plain][]): void {
    this.map(entries.length);
    for (const [name, value] of entries) {
      this.#string(name);
      this.plain(value);
    }
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.float(value);
    else if (value >= -0x20 && value < 0x80) this.#byte(value & 0xff);
    else if (value < -0x8000_0000) this.#fixed(0xd3, "setBigInt64", 8, BigInt(value));
    else if (value < -0x8000) this.#fixed(0xd2, "setInt32", 4, value);
    else if (value < -0x80) this.#fixed(0xd1, "setInt16", 2, value);
    else if (value < 0) this.#fixed(0xd0, "setInt8", 1, value);
    else if (value < 0x1_0000_0000) this.#head(0xcc, value);
    else this.#fixed(0xcf, "setBigInt64", 8, BigInt(value));
  }

  /** A string; one that UTF-8 cannot hold as `Utf16String`. */
  #string(text: string): void {
    if (LONE_SURROGATE.test(text)) {
      const byte = (i: number): number => text.charCodeAt(i >> 1) >> ((i & 1) * 8);
      return this.extension(Extension.Utf16String, Uint8Array.from({ length: text.length * 2 }, (_, i) => byte(i)));
    }
    const length = utf8Length(text);
    if (length < 32) this.#byte(0xa0 | length);
    else this.#head(0xd9, length);
    const at = this.#reserve(length);
    encoder.encodeInto(text, this.#bytes.subarray(at));
  }

  /**
   * A type and a number of 1, 2 or 4 bytes, whatever it takes; `type` is that of 1 byte, the others follow it. Strings and
   * containers begin where they do in the table of types, so an array or map of 16 has no form of 1 byte.
   */
  #head(type: number, value: number): this {
    if (value < 0x100 && type !== 0xdb && type !== 0xdd) this.#fixed(type, "setUint8", 1, value);
    else if (value < 0x1_0000) this.#fixed(type + 1, "setUint16", 2, value);
    else this.#fixed(type + 2, "setUint32", 4, value);
    return this;
  }

  #fixed<M extends Setter>(type: number, set: M, width: number, value: Parameters<DataView[M]>[1]): void {
    const at = this.#reserve(1 + width);
    this.#bytes[at] = type;
    (this.#view[set] as (at: number, value: unknown) => void)(at + 1, value);
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

type Setter = "setInt8" | "setUint8" | "setInt16" | "setUint16" | "setInt32" | "setUint32" | "setBigInt64" | "setFloat64";

function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Both halves of a pair together take 4 bytes, 2 each.
    if (unit >= 0x80) length += unit < 0x800 || (unit & 0xf800) === 0xd800 ? 1 : 2;
  }
  return length;
}
