/**
 * Reads MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) into JavaScript values. The broker has checked
 * what it passes on; what is wrong all the same throws.
 */
import { Extension } from "./extension.js";
import { reviveLeaf } from "./leaf.js";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Shorter strings are cheaper without a `TextDecoder`. */
const SHORT_TEXT_BYTES = 24;

/** What a byte begins. */
type Head =
  | { kind: "value"; value: unknown }
  | { kind: "string" | "binary" | "array" | "map"; length: number }
  | { kind: "extension"; length: number; code: number };

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
    const head = this.#head();
    switch (head.kind) {
      case "value":
        return head.value;
      case "string":
        return this.#string(head.length);
      case "binary":
        return this.#slice(head.length);
      case "array":
        return this.#fillArray([], head.length);
      case "map":
        return this.#fillMap({}, head.length);
      default:
        return this.#extension(head.code, head.length);
    }
  }

  /** Passes over the next value and returns its bytes. */
  skip(): Uint8Array {
    const start = this.#at;
    for (let values = 1; values > 0; values--) {
      const head = this.#head();
      if (head.kind === "value") continue;
      if (head.kind === "array") values += head.length;
      else if (head.kind === "map") values += head.length * 2;
      else this.#take(head.length);
    }
    return this.#bytes.subarray(start, this.#at);
  }

  /** Reads the head of an array or a map, and returns its length. */
  container(kind: "array" | "map"): number {
    const head = this.#head();
    if (head.kind !== kind) throw new TypeError(`expected ${kind}, found ${head.kind}`);
    return head.length;
  }

  /** What kind of value is next. */
  peek(): Head["kind"] {
    const at = this.#at;
    const { kind } = this.#head();
    this.#at = at;
    return kind;
  }

  #head(): Head {
    const type = this.#view.getUint8(this.#take(1));
    if (type < 0x80) return { kind: "value", value: type };
    if (type < 0x90) return { kind: "map", length: type & 0x0f };
    if (type < 0xa0) return { kind: "array", length: type & 0x0f };
    if (type < 0xc0) return { kind: "string", length: type & 0x1f };
    if (type >= 0xe0) return { kind: "value", value: type - 0x100 };
    switch (type) {
      case 0xc0:
        return { kind: "value", value: null };
      case 0xc2:
      case 0xc3:
        return { kind: "value", value: type === 0xc3 };
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return { kind: "binary", length: this.#unsigned(type - 0xc4) };
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extensionHead(this.#unsigned(type - 0xc7));
      case 0xca:
        return { kind: "value", value: this.#view.getFloat32(this.#take(4)) };
      case 0xcb:
        return { kind: "value", value: this.#view.getFloat64(this.#take(8)) };
      case 0xcc:
      case 0xcd:
      case 0xce:
        return { kind: "value", value: this.#unsigned(type - 0xcc) };
      case 0xcf:
        return { kind: "value", value: Number(this.#view.getBigUint64(this.#take(8))) };
      case 0xd0:
        return { kind: "value", value: this.#view.getInt8(this.#take(1)) };
      case 0xd1:
        return { kind: "value", value: this.#view.getInt16(this.#take(2)) };
      case 0xd2:
        return { kind: "value", value: this.#view.getInt32(this.#take(4)) };
      case 0xd3:
        return { kind: "value", value: Number(this.#view.getBigInt64(this.#take(8))) };
      case 0xd9:
      case 0xda:
      case 0xdb:
        return { kind: "string", length: this.#unsigned(type - 0xd9) };
      case 0xdc:
      case 0xdd:
        return { kind: "array", length: this.#unsigned(type - 0xdb) };
      case 0xde:
      case 0xdf:
        return { kind: "map", length: this.#unsigned(type - 0xdd) };
      case 0xc1:
        throw new TypeError("not MessagePack");
      default:
        return this.#extensionHead(1 << (type - 0xd4));
    }
  }

  #extensionHead(length: number): Head {
    return { kind: "extension", length, code: this.#view.getInt8(this.#take(1)) };
  }

  /** A number of 1, 2 or 4 bytes. */
  #unsigned(width: number): number {
    const at = this.#take(1 << width);
    if (width === 0) return this.#view.getUint8(at);
    return width === 1 ? this.#view.getUint16(at) : this.#view.getUint32(at);
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
    if (length <= SHORT_TEXT_BYTES) {
      let text = "";
      for (let i = at; i < this.#at; i++) {
        const byte = this.#bytes[i]!;
        if (byte >= 0x80) return decoder.decode(this.#bytes.subarray(at, this.#at));
        text += String.fromCharCode(byte);
      }
      return text;
    }
    return decoder.decode(this.#bytes.subarray(at, this.#at));
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
        if (code < 1 || code > Extension.Utf16String) return this.#slice(length);
        return reviveLeaf(code, this.value());
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
    const head = this.#head();
    const contents = this.#at;
    let shell: Shell;
    let fill: () => void;
    if (head.kind === "array") {
      const array: unknown[] = (shell = []) as unknown[];
      fill = () => this.#fillArray(array, head.length);
    } else if (head.kind === "map") {
      const object: object = (shell = {}) as object;
      fill = () => this.#fillMap(object, head.length);
    } else if (head.kind === "extension" && CONTAINERS.has(head.code)) {
      shell = this.#extensionShell(head.code);
      fill = () => this.#fillExtension(head.code, shell);
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

const CONTAINERS = new Set<number>([Extension.Map, Extension.Set, Extension.SparseArray, Extension.Error]);

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
