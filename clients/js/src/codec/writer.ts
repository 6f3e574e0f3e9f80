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

export class Writer {
  #bytes = new Uint8Array(128);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #holes: Hole[] = [];

  nil(): void {
    this.#byte(0xc0);
  }

  boolean(value: boolean): void {
    this.#byte(value ? 0xc3 : 0xc2);
  }

  number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.float(value);
    else if (value >= 0) this.#unsigned(value);
    else this.#negative(value);
  }

  float(value: number): void {
    const at = this.#reserve(9);
    this.#bytes[at] = 0xcb;
    this.#view.setFloat64(at + 1, value);
  }

  /** A string; one that UTF-8 cannot hold as `Utf16String`. */
  string(text: string): void {
    if (LONE_SURROGATE.test(text)) {
      this.extension(Extension.Utf16String, () => {
        this.binary(Uint8Array.from({ length: text.length * 2 }, (_, i) => text.charCodeAt(i >> 1) >> ((i & 1) * 8)));
      });
      return;
    }
    const length = utf8Length(text);
    if (length < 32) this.#byte(0xa0 | length);
    else this.#head(0xd9, length);
    const at = this.#reserve(length);
    encoder.encodeInto(text, this.#bytes.subarray(at));
  }

  binary(bytes: Uint8Array): void {
    this.#head(0xc4, bytes.length);
    this.raw(bytes);
  }

  /** The bytes of a Blob, which are filled in later: its length is known now. */
  blob(blob: Blob): void {
    this.#head(0xc4, blob.size);
    this.#holes.push({ at: this.#reserve(blob.size), blob });
  }

  array(length: number): void {
    if (length < 16) this.#byte(0x90 | length);
    else this.#head(0xdb, length);
  }

  map(size: number): void {
    if (size < 16) this.#byte(0x80 | size);
    else this.#head(0xdd, size);
  }

  /** An extension with what `body` writes. */
  extension(code: number, body: () => void): void {
    const start = this.#reserve(EXTENSION_ROOM);
    body();
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

  #unsigned(value: number): void {
    if (value < 0x80) this.#byte(value);
    else if (value < 0x1_0000_0000) this.#head(0xcc, value);
    else this.#long(0xcf, value);
  }

  #negative(value: number): void {
    if (value >= -0x20) {
      this.#byte(value & 0xff);
    } else if (value >= -0x80) {
      this.#byte(0xd0);
      this.#byte(value & 0xff);
    } else if (value >= -0x8000) {
      const at = this.#reserve(3);
      this.#bytes[at] = 0xd1;
      this.#view.setInt16(at + 1, value);
    } else if (value >= -0x8000_0000) {
      const at = this.#reserve(5);
      this.#bytes[at] = 0xd2;
      this.#view.setInt32(at + 1, value);
    } else {
      this.#long(0xd3, value);
    }
  }

  #long(type: number, value: number): void {
    const at = this.#reserve(9);
    this.#bytes[at] = type;
    this.#view.setBigInt64(at + 1, BigInt(value));
  }

  /**
   * A type and a number of 1, 2 or 4 bytes, whatever it takes; `type` is that of 1 byte, the others follow it. Strings and
   * containers begin where they do in the table of types, so an array or map of 16 has no form of 1 byte.
   */
  #head(type: number, value: number): void {
    if (value < 0x100 && type !== 0xdb && type !== 0xdd) {
      this.#byte(type);
      this.#byte(value);
    } else if (value < 0x1_0000) {
      const at = this.#reserve(3);
      this.#bytes[at] = type + 1;
      this.#view.setUint16(at + 1, value);
    } else {
      const at = this.#reserve(5);
      this.#bytes[at] = type + 2;
      this.#view.setUint32(at + 1, value);
    }
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

function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Both halves of a pair together take 4 bytes, 2 each.
    if (unit >= 0x80) length += unit < 0x800 || (unit & 0xf800) === 0xd800 ? 1 : 2;
  }
  return length;
}
