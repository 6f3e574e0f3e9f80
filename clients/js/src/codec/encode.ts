/**
 * Structured clone as MessagePack (https://html.spec.whatwg.org/multipage/structured-data.html): first a walk that finds
 * what is shared, contains itself or is deep, then the writing. Both take the value as it is: a snapshot.
 */
import { Extension } from "./extension.js";
import { contents, Kind, kindOf, tagOf } from "./kind.js";
import { writeLeaf } from "./write_leaf.js";
import { type Encoded, Writer } from "./writer.js";

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
  else writePrimitive(writer, value);
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
    if (!this.#places.size) {
      this.#object(root);
      return;
    }
    const writer = this.#writer;
    writer.extension(Extension.Graph, () => {
      writer.map(2);
      writer.string("root");
      this.#value(root);
      writer.string("values");
      writer.array(this.#places.size);
      for (const value of this.#places.keys()) this.#object(value);
    });
  }

  #value = (value: unknown): void => {
    if (typeof value !== "object" || value === null) {
      writePrimitive(this.#writer, value);
      return;
    }
    const place = this.#places.get(value);
    if (place === undefined) this.#object(value);
    else this.#writer.extension(Extension.Reference, () => this.#writer.number(place));
  };

  #object(value: object): void {
    const writer = this.#writer;
    switch (kindOf(value)) {
      case Kind.Array:
        return this.#array(value as unknown[]);
      case Kind.Object:
        return this.#properties(value as Record<string, unknown>);
      case Kind.Map: {
        const map = value as Map<unknown, unknown>;
        return writer.extension(Extension.Map, () => {
          writer.array(map.size);
          for (const entry of map) this.#pair(entry);
        });
      }
      case Kind.Set: {
        const set = value as Set<unknown>;
        return writer.extension(Extension.Set, () => {
          writer.array(set.size);
          set.forEach(this.#value);
        });
      }
      case Kind.Error:
        return writer.extension(Extension.Error, () => this.#error(value as Error));
      case Kind.View:
        return this.#view(value as ArrayBufferView);
      default:
        writeLeaf(writer, value);
    }
  }

  #properties(object: Record<string, unknown>): void {
    const keys = Object.keys(object);
    this.#writer.map(keys.length);
    for (const key of keys) {
      this.#writer.string(key);
      this.#value(object[key]);
    }
  }

  #pair([key, value]: [unknown, unknown]): void {
    this.#writer.array(2);
    this.#value(key);
    this.#value(value);
  }

  #array(array: unknown[]): void {
    const writer = this.#writer;
    const keys = Object.keys(array);
    const last = array.length - 1;
    if (keys.length === array.length && (last < 0 || keys[last] === String(last))) {
      writer.array(array.length);
      array.forEach(this.#value);
      return;
    }
    writer.extension(Extension.SparseArray, () => {
      writer.map(2);
      writer.string("length");
      writer.number(array.length);
      writer.string("entries");
      writer.array(keys.length);
      for (const key of keys) {
        const index = Number(key);
        const isIndex = String(index) === key && index >= 0 && index <= last;
        this.#pair([isIndex ? index : key, array[key as unknown as number]]);
      }
    });
  }

  #error(error: Error): void {
    const writer = this.#writer;
    const dom = tagOf(error) === "DOMException";
    const cause = !dom && Object.hasOwn(error, "cause");
    const message = dom || Object.hasOwn(error, "message");
    const stack = typeof error.stack === "string";
    writer.map(1 + Number(message) + Number(stack) + Number(cause) + Number(dom));
    writer.string("name");
    writer.string(String(error.name));
    if (message) {
      writer.string("message");
      writer.string(String(error.message));
    }
    if (stack) {
      writer.string("stack");
      writer.string(error.stack as string);
    }
    if (cause) {
      writer.string("cause");
      this.#value(error.cause);
    }
    if (dom) {
      writer.string("dom_exception");
      writer.boolean(true);
    }
  }

  /**
   * Its own bytes; of a buffer that others share too or that can be resized, all of it and the place in it. A view that
   * ends where such a buffer ends goes on doing so.
   */
  #view(view: ArrayBufferView): void {
    const writer = this.#writer;
    const { byteOffset, byteLength } = view;
    const buffer = view.buffer as ArrayBuffer;
    const tag = tagOf(view);
    const whole = this.#places.has(buffer) || buffer.resizable;
    const bytes = () => writer.binary(new Uint8Array(buffer, byteOffset, byteLength));
    if (tag === "Uint8Array" && !whole) return bytes();
    const isData = tag === "DataView";
    writer.extension(isData ? Extension.DataView : Extension.TypedArray, () => {
      if (isData && !whole) return bytes();
      const follows = whole && buffer.resizable && byteOffset + byteLength === buffer.byteLength;
      writer.array((isData ? 0 : 1) + (whole ? (follows ? 2 : 3) : 1));
      if (!isData) writer.string(tag);
      if (!whole) return bytes();
      this.#value(buffer);
      writer.number(byteOffset);
      if (!follows) writer.number((view as Uint8Array).length ?? byteLength);
    });
  }
}

function writePrimitive(writer: Writer, value: unknown): void {
  switch (typeof value) {
    case "undefined":
      return writer.extension(Extension.undefined, () => writer.nil());
    case "boolean":
      return writer.boolean(value);
    case "number":
      return writer.number(value);
    case "string":
      return writer.string(value);
    case "bigint":
      return writer.extension(Extension.BigInt, () => writer.string(String(value)));
    case "object":
      return writer.nil();
    default:
      throw new DOMException(`a ${typeof value} cannot be cloned`, "DataCloneError");
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
