/**
 * Structured clone as MessagePack (https://html.spec.whatwg.org/multipage/structured-data.html): first a walk finds
 * the values that are shared, contain themselves or are deep, then the value is written. Both take the value as it is: a snapshot.
 */
import { Extension } from "./extension.js";
import { contents, Kind, kindOf, tagOf } from "./kind.js";
import { encodeSingle } from "./value_types.js";
import { type Encoded, extension, type Plain, write } from "./writer.js";

/**
 * How many containers are written inside of each other; a container that is deeper becomes a value of the graph. The broker takes
 * 128 levels of JSON, and a container takes 4 at the most.
 */
const NESTING = 24;

/**
 * The bytes of a value.
 *
 * @throws DataCloneError when it has a part that cannot travel.
 */
export const encode = (value: unknown): Encoded => write(new Encoding(value).root);

class Encoding {
  readonly root: Plain;
  /** The values of the graph and their places; empty when no graph is needed. */
  readonly #places: Map<unknown, number>;

  constructor(root: unknown) {
    this.#places = shared(root);
    const values = Array.from(this.#places.keys(), this.#object);
    this.root = this.#plain(root);
    if (values.length) this.root = extension(Extension.Graph, { root: this.root, values });
  }

  #plain = (value: unknown): Plain => {
    switch (typeof value) {
      case "undefined":
        return extension(Extension.undefined, null);
      case "bigint":
        return extension(Extension.BigInt, String(value));
      case "symbol":
      case "function":
        return encodeSingle(value);
      case "object": {
        const place = this.#places.get(value);
        if (place !== undefined) return extension(Extension.Reference, place);
        return value && this.#object(value);
      }
      default:
        return value as Plain;
    }
  };

  #object = (value: unknown): Plain => {
    switch (kindOf(value)) {
      case Kind.Array:
        return this.#array(value as unknown[]);
      case Kind.Object:
        return (writer) => writer.map(Object.entries(value as object).map(([key, part]) => [key, this.#plain(part)]));
      case Kind.Map:
        return extension(
          Extension.Map,
          Array.from(value as Map<unknown, unknown>, (entry) => entry.map(this.#plain)),
        );
      case Kind.Set:
        return extension(Extension.Set, Array.from(value as Set<unknown>, this.#plain));
      case Kind.Error:
        return this.#error(value as Error);
      case Kind.View:
        return this.#view(value as ArrayBufferView);
      default:
        return encodeSingle(value);
    }
  };

  #array(array: unknown[]): Plain {
    const keys = Object.keys(array);
    const { length } = array;
    if (keys.length === length && (!length || keys[length - 1] === String(length - 1))) return array.map(this.#plain);
    const entries = keys.map((key) => {
      const index = Number(key) >>> 0;
      const isIndex = String(index) === key && index < length;
      return [isIndex ? index : key, this.#plain(array[key as unknown as number])];
    });
    return extension(Extension.SparseArray, { length, entries });
  }

  #error(error: Error): Plain {
    const dom = tagOf(error) === "DOMException";
    const { name, message, stack, cause } = error;
    return extension(Extension.Error, {
      name: String(name),
      message: dom || Object.hasOwn(error, "message") ? String(message) : undefined,
      stack: typeof stack === "string" ? stack : undefined,
      cause: !dom && Object.hasOwn(error, "cause") ? this.#plain(cause) : undefined,
      dom_exception: dom || undefined,
    });
  }

  /**
   * Its buffer and the place in it, or only the bytes when it shows all of a buffer that nothing else shows and that cannot be
   * resized. A view that ends where a buffer ends that can be resized goes on doing so.
   */
  #view(view: ArrayBufferView): Plain {
    const { byteOffset, byteLength } = view;
    const buffer = view.buffer as ArrayBuffer;
    const tag = tagOf(view);
    let body: Plain = new Uint8Array(buffer, byteOffset, byteLength);
    if (this.#places.has(buffer) || buffer.resizable || isPart(view)) {
      const follows = buffer.resizable && byteOffset + byteLength === buffer.byteLength;
      body = [this.#plain(buffer), byteOffset, ...(follows ? [] : [(view as Uint8Array).length ?? byteLength])];
    } else if (tag === "Uint8Array") {
      return body;
    }
    return tag === "DataView" ? extension(Extension.DataView, body) : extension(Extension.TypedArray, [tag, body].flat());
  }
}

/**
 * Whether a view shows a part of its buffer. It does not count if that is a pool of Node's, which holds the data of other parts
 * of a program, or shared memory, which cannot travel.
 */
const isPart = ({ buffer, byteLength }: ArrayBufferView): boolean =>
  buffer instanceof ArrayBuffer &&
  byteLength < buffer.byteLength &&
  buffer.byteLength !== (globalThis as { Buffer?: { poolSize: number } }).Buffer?.poolSize;

/**
 * The objects that have to be values of a graph: those that are met twice, and every so many levels all that hold others, so that no
 * value is too deep. Buffers come first: the views on them can be made at once.
 */
function shared(root: unknown): Map<unknown, number> {
  const met = new Set([root]);
  const members = new Set<unknown>();
  let level = [root];
  for (let depth = 1; level.length; depth++) {
    const next: unknown[] = [];
    for (const container of level) {
      for (const part of contents(container)) {
        if (Object(part) !== part) continue;
        if (met.has(part)) members.add(part);
        else next.push(part);
        met.add(part);
      }
    }
    level = next;
    if (depth % NESTING === 0) for (const part of level) if (contents(part).length) members.add(part);
  }
  const isBuffer = (value: unknown): number => Number(value instanceof ArrayBuffer);
  return new Map([...members].sort((a, b) => isBuffer(b) - isBuffer(a)).map((member, place) => [member, place]));
}
