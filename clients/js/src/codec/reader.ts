/**
 * Reads MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) into JavaScript values. The broker has checked
 * the values that it passes on; a value that is wrong all the same throws.
 */
import { Extension } from "./extension.js";
import { tagOf } from "./kind.js";
import { malformed, revive } from "./value_types.js";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Shorter strings are cheaper without a `TextDecoder`. */
const SHORT_TEXT_BYTES = 24;

/** The kinds of what a byte begins: a value that ends there, or something of a length. They are no numbers, which would make heads of many shapes. */
const enum Kind {
  Value = "v",
  String = "s",
  Binary = "b",
  Array = "a",
  Map = "m",
}

/** A value that may hold others; an extension is its code. */
type Container = Kind.Array | Kind.Map | number;

type Head = [kind: Kind | Container, length: any]; // Of a value itself.

/** How a number is read, in the order of the types, from 0xca on; each row those of 8, 16, 32 and 64 bits. */
const NUMBERS = [
  "",
  "",
  "getFloat32",
  "getFloat64",
  "getUint8",
  "getUint16",
  "getUint32",
  "getBigUint64",
  "getInt8",
  "getInt16",
  "getInt32",
  "getBigInt64",
] as ("getFloat64" | "getBigInt64")[];

/** A container that may be referred to before its contents are read. */
type Shell = any; // Its kind is known where it is filled.

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #raw: string | undefined;
  #at = 0;
  #shells: Shell[] | undefined;

  /** The value of a field of the name `raw` is left as it is: bytes. */
  constructor(bytes: Uint8Array, raw?: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#raw = raw;
  }

  /** Reads the next value. */
  value(): unknown {
    const [kind, length] = this.#head();
    switch (kind) {
      case Kind.Value:
        return length;
      case Kind.String:
        return this.#string(length);
      case Kind.Binary:
        return this.#slice(length);
    }
    const end = this.#at + length;
    const value = this.#fill(kind, length, this.#shell(kind));
    if (typeof kind === "number" && this.#at !== end) throw malformed();
    return value;
  }

  /** Passes over the next value and returns its bytes. */
  skip(): Uint8Array {
    const start = this.#at;
    for (let values = 1; values > 0; values--) {
      const [kind, length] = this.#head();
      if (kind === Kind.Array) values += length;
      else if (kind === Kind.Map) values += length * 2;
      else if (kind !== Kind.Value) this.#take(length);
    }
    return this.#bytes.subarray(start, this.#at);
  }

  #head(): Head {
    const type = this.#bytes[this.#take(1)]!;
    if (type < 0x80) return [Kind.Value, type];
    if (type < 0x90) return [Kind.Map, type & 0x0f];
    if (type < 0xa0) return [Kind.Array, type & 0x0f];
    if (type < 0xc0) return [Kind.String, type & 0x1f];
    if (type === 0xc0) return [Kind.Value, null];
    if (type === 0xc1) throw malformed();
    if (type < 0xc4) return [Kind.Value, type === 0xc3];
    if (type < 0xc7) return [Kind.Binary, this.#number(type - 0xc0)];
    if (type < 0xca) return this.#extension(this.#number(type - 0xc3));
    if (type < 0xd4) return [Kind.Value, this.#number(type - 0xc8)];
    if (type < 0xd9) return this.#extension(1 << (type - 0xd4));
    if (type < 0xdc) return [Kind.String, this.#number(type - 0xd5)];
    if (type < 0xde) return [Kind.Array, this.#number(type - 0xd7)];
    if (type < 0xe0) return [Kind.Map, this.#number(type - 0xd9)];
    return [Kind.Value, type - 0x100];
  }

  #extension(length: number): Head {
    return [this.#number(8), length];
  }

  /** A number, of the place in the list. */
  #number(place: number): number {
    return Number(this.#view[NUMBERS[place]!](this.#take(1 << (place & 3))));
  }

  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw malformed();
    return at;
  }

  #slice(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.slice(at, this.#at);
  }

  #string(length: number): string {
    const at = this.#take(length);
    let text = "";
    for (let i = at; i < this.#at; i++) {
      const byte = this.#bytes[i]!;
      if (length > SHORT_TEXT_BYTES || byte >= 0x80) return decoder.decode(this.#bytes.subarray(at, this.#at));
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** The empty container of a kind, if it is one; the place is left where it was. */
  #shell(kind: Kind | Container): Shell {
    switch (kind) {
      case Kind.Map:
        return {};
      case Kind.Array:
      case Extension.SparseArray:
        return [];
      case Extension.Map:
        return new Map();
      case Extension.Set:
        return new Set();
      case Extension.Error:
        return this.#error();
    }
  }

  /** Reads the contents of a container, or else the whole extension. */
  #fill(kind: Container, length: number, shell: Shell): unknown {
    switch (kind) {
      case Kind.Map:
        return this.#fillMap(shell, length);
      case Kind.Array:
        while (length-- > 0) shell.push(this.value());
        return shell;
      case Extension.Graph:
        return this.#graph();
      case Extension.Reference:
        return this.#reference(this.value() as number);
      default:
        if (kind < 1 || kind > Extension.Utf16String) return this.#slice(length);
    }
    const body = this.value() as any; // A wrong body throws.
    if (kind === Extension.Map) for (const [key, value] of body) shell.set(key, value);
    else if (kind === Extension.Set) for (const value of body) shell.add(value);
    else if (kind === Extension.SparseArray) {
      shell.length = body.length;
      for (const [key, value] of body.entries) define(shell, key, value);
    } else if (kind === Extension.Error) describe(shell, body);
    else return revive(kind, body);
    return shell;
  }

  /** An object; a map with a key that is no string, which only other languages send, is a `Map`. */
  #fillMap(object: object, size: number): unknown {
    while (size-- > 0) {
      const key = this.value();
      if (typeof key !== "string") {
        const map = new Map<unknown, unknown>(Object.entries(object)).set(key, this.value());
        while (size-- > 0) map.set(this.value(), this.value());
        return map;
      }
      define(object, key, key === this.#raw ? this.skip() : this.value());
    }
    return object;
  }

  /** An error without its fields. */
  #error(): Error {
    const start = this.#at;
    const { name, message, dom_exception } = this.#fields();
    const read = (at: number | undefined): unknown => at && this.#valueAt(at);
    const type = String(read(name));
    const error = read(dom_exception) === true ? new DOMException(String(read(message) ?? ""), type) : new (errorType(type))();
    this.#at = start;
    return error;
  }

  /** Values that are shared or contain themselves: all containers are made first, and filled then. */
  #graph(): unknown {
    const outer = this.#shells;
    const shells: Shell[] = (this.#shells = []);
    const unfilled: (() => void)[] = [];
    const { root, values } = this.#fields();
    const end = this.#at;
    if (!root || !values) throw malformed();
    this.#at = values;
    for (let left = this.#container(Kind.Array); left > 0; left--) shells.push(this.#member(unfilled));
    for (const fill of unfilled) fill();
    const value = this.#valueAt(root);
    this.#at = end;
    this.#shells = outer;
    return value;
  }

  /** An empty container, or a value without any; `unfilled` learns how to fill it. The place moves behind the value. */
  #member(unfilled: (() => void)[]): Shell {
    const start = this.#at;
    const [kind, length] = this.#head();
    const contents = this.#at;
    const shell = this.#shell(kind);
    if (!shell) return this.#valueAt(start);
    unfilled.push(() => {
      this.#at = contents;
      this.#fill(kind as Container, length, shell);
    });
    this.#at = start;
    this.skip();
    return shell;
  }

  #reference(index: number): unknown {
    const shells = this.#shells;
    if (!shells || !(index in shells)) throw malformed();
    return shells[index];
  }

  /** Where the fields of the next map are; the place moves behind it. */
  #fields(): Record<string, number> {
    const places: Record<string, number> = {};
    for (let left = this.#container(Kind.Map); left > 0; left--) {
      places[this.value() as string] = this.#at;
      this.skip();
    }
    return places;
  }

  #container(expected: Kind): number {
    const [kind, length] = this.#head();
    if (kind !== expected) throw malformed();
    return length;
  }

  #valueAt(place: number): unknown {
    this.#at = place;
    return this.value();
  }
}

/** The value of its MessagePack. */
export const read = (bytes: Uint8Array): unknown => new Reader(bytes).value();

const errorType = (name: string): ErrorConstructor =>
  /^(Eval|Range|Reference|Syntax|Type|URI)Error$/.test(name) ? (globalThis as never)[name] : Error;

/** Sets a property of its own, whatever the prototype says of the name (`__proto__`). */
function define(object: object, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    (object as Record<string, unknown>)[key] = value;
  }
}

/** Gives an error its fields as errors have them: not enumerable. Those of a `DOMException` are its own. */
function describe(error: Error, fields: Record<string, unknown>): void {
  if (tagOf(error) === "DOMException") return;
  // That of the engine that reads it says nothing of where it was thrown.
  delete error.stack;
  for (const key of ["message", "stack", "cause"]) {
    if (Object.hasOwn(fields, key)) Object.defineProperty(error, key, { value: fields[key], writable: true, configurable: true });
  }
}
