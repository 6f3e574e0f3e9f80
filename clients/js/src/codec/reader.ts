/**
 * Reads MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) into JavaScript values. The broker has checked
 * what it passes on; what is wrong all the same throws.
 */
import { Extension } from "./extension.js";
import { reviveLeaf } from "./leaf.js";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Shorter strings are cheaper without a `TextDecoder`. */
const SHORT_TEXT_BYTES = 24;

type Kind = "value" | "string" | "binary" | "array" | "map" | "extension";

/** What a byte begins: a value that ends there, or something of a length; of an extension its code, too. */
type Head = [kind: Kind, length: any, code: number]; // eslint-disable-line @typescript-eslint/no-explicit-any -- of a value itself

/** How a number of 8, 16, 32 or 64 bits is read; without a sign first. */
const NUMBERS = ["getUint8", "getUint16", "getUint32", "getBigUint64", "getInt8", "getInt16", "getInt32", "getBigInt64"] as const;

/** A container that may be referred to before its contents are read. */
type Shell = unknown;

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #shells: Shell[] | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Reads the next value. */
  value(): unknown {
    const [kind, length, code] = this.#head();
    switch (kind) {
      case "value":
        return length;
      case "string":
        return this.#string(length);
      case "binary":
        return this.#slice(length);
      case "array":
        return this.#fillArray([], length);
      case "map":
        return this.#fillMap({}, length);
      default:
        return this.#extension(code, length);
    }
  }

  /** Passes over the next value and returns its bytes. */
  skip(): Uint8Array {
    const start = this.#at;
    for (let values = 1; values > 0; values--) {
      const [kind, length] = this.#head();
      if (kind === "array") values += length;
      else if (kind === "map") values += length * 2;
      else if (kind !== "value") this.#take(length);
    }
    return this.#bytes.subarray(start, this.#at);
  }

  /** Reads the head of an array or a map, and returns its length. */
  container(expected: "array" | "map"): number {
    const [kind, length] = this.#head();
    if (kind !== expected) throw new TypeError(`expected ${expected}, found ${kind}`);
    return length;
  }

  /** What kind of value is next. */
  peek(): Kind {
    const at = this.#at;
    const [kind] = this.#head();
    this.#at = at;
    return kind;
  }

  #head(): Head {
    const type = this.#bytes[this.#take(1)]!;
    if (type < 0x80) return ["value", type, 0];
    if (type < 0x90) return ["map", type & 0x0f, 0];
    if (type < 0xa0) return ["array", type & 0x0f, 0];
    if (type < 0xc0) return ["string", type & 0x1f, 0];
    if (type === 0xc0) return ["value", null, 0];
    if (type === 0xc1) throw new TypeError("not MessagePack");
    if (type < 0xc4) return ["value", type === 0xc3, 0];
    if (type < 0xc7) return ["binary", this.#number(type - 0xc4), 0];
    if (type < 0xca) return ["extension", this.#number(type - 0xc7), this.#number(4)];
    if (type === 0xca) return ["value", this.#view.getFloat32(this.#take(4)), 0];
    if (type === 0xcb) return ["value", this.#view.getFloat64(this.#take(8)), 0];
    if (type < 0xd4) return ["value", this.#number(type - 0xcc), 0];
    if (type < 0xd9) return ["extension", 1 << (type - 0xd4), this.#number(4)];
    if (type < 0xdc) return ["string", this.#number(type - 0xd9), 0];
    if (type < 0xde) return ["array", this.#number(type - 0xdb), 0];
    if (type < 0xe0) return ["map", this.#number(type - 0xdd), 0];
    return ["value", type - 0x100, 0];
  }

  /** A number, of the place in the list. */
  #number(place: number): number {
    return Number(this.#view[NUMBERS[place]!](this.#take(1 << (place & 3))));
  }

  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError("the value ends too early");
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

  #fillArray(array: unknown[], length: number): unknown[] {
    for (let i = 0; i < length; i++) array.push(this.value());
    return array;
  }

  /** An object; a map with a key that is no string, which only other languages send, is a `Map`. */
  #fillMap(object: object, size: number): unknown {
    for (let i = 0; i < size; i++) {
      const key = this.value();
      if (typeof key !== "string") {
        const map = new Map<unknown, unknown>(Object.entries(object)).set(key, this.value());
        while (++i < size) map.set(this.value(), this.value());
        return map;
      }
      define(object, key, this.value());
    }
    return object;
  }

  #extension(code: number, length: number): unknown {
    const end = this.#at + length;
    const value = this.#extensionBody(code, length);
    if (this.#at !== end) throw new TypeError(`extension ${code} has another length than its body`);
    return value;
  }

  #extensionBody(code: number, length: number): unknown {
    switch (code) {
      case Extension.Map:
      case Extension.Set:
      case Extension.SparseArray:
      case Extension.Error:
        return this.#fillExtension(code, this.#extensionShell(code));
      case Extension.Graph:
        return this.#graph();
      case Extension.Reference:
        return this.#reference(this.value() as number);
      default:
        return code < 1 || code > Extension.Utf16String ? this.#slice(length) : reviveLeaf(code, this.value());
    }
  }

  /** The empty container of an extension; the place is left where it was. */
  #extensionShell(code: number): Shell {
    if (code === Extension.Map) return new Map();
    if (code === Extension.Set) return new Set();
    if (code === Extension.SparseArray) return [];
    const at = this.#at;
    let name: unknown;
    let domException = false;
    let message: unknown = "";
    for (let fields = this.container("map"); fields > 0; fields--) {
      const field = this.value();
      if (field === "name") name = this.value();
      else if (field === "message" && this.peek() === "string") message = this.value();
      else if (field === "dom_exception") domException = this.value() === true;
      else this.skip();
    }
    this.#at = at;
    if (domException) return new DOMException(String(message), String(name));
    return new (errorType(name))();
  }

  #fillExtension(code: number, shell: Shell): Shell {
    if (code === Extension.Map) {
      for (let entries = this.container("array"); entries > 0; entries--) {
        this.container("array");
        (shell as Map<unknown, unknown>).set(this.value(), this.value());
      }
    } else if (code === Extension.Set) {
      for (let values = this.container("array"); values > 0; values--) (shell as Set<unknown>).add(this.value());
    } else if (code === Extension.SparseArray) {
      this.#fillSparseArray(shell as unknown[]);
    } else {
      this.#fillError(shell as Error);
    }
    return shell;
  }

  #fillSparseArray(array: unknown[]): void {
    for (let fields = this.container("map"); fields > 0; fields--) {
      if (this.value() === "length") {
        array.length = this.value() as number;
        continue;
      }
      for (let entries = this.container("array"); entries > 0; entries--) {
        this.container("array");
        define(array, String(this.value()), this.value());
      }
    }
  }

  #fillError(error: Error): void {
    // Those of the engine that reads it say nothing of where it was thrown.
    if (!(error instanceof globalThis.DOMException)) hide(error, "stack", undefined);
    for (let fields = this.container("map"); fields > 0; fields--) {
      const field = this.value() as string;
      const value = this.value();
      const own = field === "message" || field === "stack" || field === "cause";
      if (own && !(error instanceof globalThis.DOMException)) hide(error, field, value);
    }
  }

  /** Values that are shared or contain themselves: all containers first, then what is in them. */
  #graph(): unknown {
    const outer = this.#shells;
    const shells: Shell[] = (this.#shells = []);
    const unfilled: (() => void)[] = [];
    let root: number | undefined;
    for (let fields = this.container("map"); fields > 0; fields--) {
      if (this.value() === "root") {
        root = this.#at;
        this.skip();
        continue;
      }
      for (let values = this.container("array"); values > 0; values--) shells.push(this.#shell(unfilled));
    }
    const end = this.#at;
    for (const fill of unfilled) fill();
    if (root === undefined) throw new TypeError("a graph has no root");
    this.#at = root;
    const value = this.value();
    this.#at = end;
    this.#shells = outer;
    return value;
  }

  /** An empty container, or a value without any; `unfilled` learns how to fill it. The place moves behind the value. */
  #shell(unfilled: (() => void)[]): Shell {
    const start = this.#at;
    const [kind, length, code] = this.#head();
    const contents = this.#at;
    let shell: Shell;
    let fill: () => void;
    if (kind === "array") {
      const array: unknown[] = (shell = []) as unknown[];
      fill = () => this.#fillArray(array, length);
    } else if (kind === "map") {
      const object: object = (shell = {}) as object;
      fill = () => this.#fillMap(object, length);
    } else if (CONTAINERS.includes(code)) {
      shell = this.#extensionShell(code);
      fill = () => this.#fillExtension(code, shell);
    } else {
      this.#at = start;
      return this.value();
    }
    unfilled.push(() => {
      this.#at = contents;
      fill();
    });
    this.#at = start;
    this.skip();
    return shell;
  }

  #reference(index: number): unknown {
    const shells = this.#shells;
    if (!shells || !(index in shells)) throw new TypeError("a reference points outside of its graph");
    return shells[index];
  }
}

const CONTAINERS: readonly number[] = [Extension.Map, Extension.Set, Extension.SparseArray, Extension.Error];

const ERRORS = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError } as Record<string, ErrorConstructor>;

function errorType(name: unknown): ErrorConstructor {
  return (Object.hasOwn(ERRORS, name as string) && ERRORS[name as string]) || Error;
}

/** Sets a property of its own, whatever the prototype says of the name (`__proto__`). */
function define(object: object, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    (object as Record<string, unknown>)[key] = value;
  }
}

/** Sets or removes a property as errors have them: not enumerable. */
function hide(error: Error, key: string, value: unknown): void {
  if (value === undefined && key === "stack") delete error.stack;
  else Object.defineProperty(error, key, { value, writable: true, configurable: true });
}
