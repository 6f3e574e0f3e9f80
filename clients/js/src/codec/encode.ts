/**
 * Structured clone as MessagePack (https://html.spec.whatwg.org/multipage/structured-data.html): first a walk that finds
 * what is shared, contains itself or is deep, then the writing. Both take the value as it is: a snapshot.
 */
import { Extension } from "./extension.js";
import { contents, Kind, kindOf, tagOf } from "./kind.js";
import { writeLeaf } from "./leaf.js";
import { type Encoded, type Plain, Writer } from "./writer.js";

/**
 * How many containers are written inside of each other; what is deeper becomes a value of the graph. The broker takes
 * 128 levels of JSON, and a container takes 4 at the most.
 */
const NESTING = 24;

/**
 * The bytes of a value.
 *
 * @throws DataCloneError when it has a part that cannot travel.
 */
export function encode(value: unknown): Encoded {
  const writer = new Writer();
  if (typeof value === "object" && value !== null) new Encoding(writer, value).write(value);
  else writer.plain(primitive(value));
  return writer.finish();
}

class Encoding {
  readonly #writer: Writer;
  /** The values of the graph and their places; empty when no graph is needed. */
  readonly #places: Map<object, number>;

  constructor(writer: Writer, root: object) {
    this.#writer = writer;
    this.#places = shared(root);
  }

  write(root: object): void {
    if (!this.#places.size) return this.#object(root);
    const values = Array.from(this.#places.keys(), (value) => () => this.#object(value));
    this.#writer.extension(Extension.Graph, { root: this.#plain(root), values });
  }

  #plain = (value: unknown): Plain => {
    if (typeof value !== "object" || value === null) return primitive(value);
    const place = this.#places.get(value);
    return place === undefined ? () => this.#object(value) : (writer) => writer.extension(Extension.Reference, place);
  };

  #object(value: object): void {
    const writer = this.#writer;
    switch (kindOf(value)) {
      case Kind.Array:
        return this.#array(value as unknown[]);
      case Kind.Object: {
        const entries = Object.entries(value);
        writer.map(entries.length);
        for (const [key, value] of entries) {
          writer.plain(key);
          writer.plain(this.#plain(value));
        }
        return;
      }
      case Kind.Map:
        return writer.extension(Extension.Map, Array.from(value as Map<unknown, unknown>, (entry) => entry.map(this.#plain)));
      case Kind.Set:
        return writer.extension(Extension.Set, Array.from(value as Set<unknown>, this.#plain));
      case Kind.Error:
        return this.#error(value as Error);
      case Kind.View:
        return this.#view(value as ArrayBufferView);
      default:
        writeLeaf(writer, value);
    }
  }

  #array(array: unknown[]): void {
    const writer = this.#writer;
    const keys = Object.keys(array);
    const { length } = array;
    if (keys.length === length && (!length || keys[length - 1] === String(length - 1))) {
      writer.array(length);
      for (const item of array) writer.plain(this.#plain(item));
      return;
    }
    const entries = keys.map((key) => {
      const index = Number(key);
      const isIndex = String(index) === key && index >= 0 && index < length;
      return [isIndex ? index : key, this.#plain(array[key as unknown as number])];
    });
    writer.extension(Extension.SparseArray, { length, entries });
  }

  #error(error: Error): void {
    const dom = tagOf(error) === "DOMException";
    const { name, message, stack, cause } = error;
    this.#writer.extension(Extension.Error, {
      name: String(name),
      message: dom || Object.hasOwn(error, "message") ? String(message) : undefined,
      stack: typeof stack === "string" ? stack : undefined,
      cause: !dom && Object.hasOwn(error, "cause") ? this.#plain(cause) : undefined,
      dom_exception: dom || undefined,
    });
  }

  /**
   * Its own bytes; of a buffer that others share too or that can be resized, all of it and the place in it. A view that
   * ends where such a buffer ends goes on doing so.
   */
  #view(view: ArrayBufferView): void {
    const { byteOffset, byteLength } = view;
    const buffer = view.buffer as ArrayBuffer;
    const tag = tagOf(view);
    const isData = tag === "DataView";
    let body: Plain[] = [new Uint8Array(buffer, byteOffset, byteLength)];
    if (this.#places.has(buffer) || buffer.resizable) {
      body = [this.#plain(buffer), byteOffset];
      const follows = buffer.resizable && byteOffset + byteLength === buffer.byteLength;
      if (!follows) body.push((view as Uint8Array).length ?? byteLength);
    } else if (tag === "Uint8Array") {
      return this.#writer.plain(body[0]!);
    } else if (isData) {
      return this.#writer.extension(Extension.DataView, body[0]!);
    }
    this.#writer.extension(isData ? Extension.DataView : Extension.TypedArray, isData ? body : [tag, ...body]);
  }
}

/** A value that is no object. */
function primitive(value: unknown): Plain {
  switch (typeof value) {
    case "undefined":
      return (writer) => writer.extension(Extension.undefined, null);
    case "bigint":
      return (writer) => writer.extension(Extension.BigInt, String(value));
    case "symbol":
    case "function":
      throw new DOMException(`a ${typeof value} cannot be cloned`, "DataCloneError");
    default:
      return value as Plain;
  }
}

/**
 * What has to be a value of a graph: what is met twice, and every so many levels whatever is there, so that no value is
 * too deep. Buffers come first: the views on them can be made at once.
 */
function shared(root: object): Map<object, number> {
  const met = new Set<object>([root]);
  const members = new Set<object>();
  let level = [root];
  for (let depth = 1; level.length; depth++) {
    const next: object[] = [];
    for (const container of level) {
      for (const part of contents(container)) {
        if (typeof part !== "object" || part === null) continue;
        if (met.has(part)) {
          members.add(part);
        } else {
          met.add(part);
          next.push(part);
        }
      }
    }
    if (depth % NESTING === 0) {
      for (const part of next) if (contents(part).length) members.add(part);
    }
    level = next;
  }
  const buffers = [...members].filter((member) => member instanceof ArrayBuffer);
  return new Map([...new Set([...buffers, ...members])].map((member, place) => [member, place]));
}
