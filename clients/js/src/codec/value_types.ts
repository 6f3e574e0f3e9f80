/**
 * The types whose values hold no other values: the body of their extension, and the value of a body. Types that a realm
 * lacks (`DOMPoint` in a worker of some browsers) throw there, as the native deserialization fails.
 */
import { Extension } from "./extension.js";
import { tagOf } from "./kind.js";
import { bitmapOf, imageDataOf, pixelsOf } from "./pixels.js";
import { extension, type Plain, type Writer } from "./writer.js";

type Any = any; // Each type knows its own values and bodies.

/** The body of a value, if there is a value to send, and the value of a body; `type` is its constructor. */
type ValueType = [body?: ((value: Any, type: Any) => Plain) | undefined, revive?: (body: Any, type: Any) => unknown];

/**
 * A value that holds no other values.
 *
 * @throws DataCloneError when it cannot travel.
 */
export function encodeSingle(value: unknown): Plain {
  const tag = tagOf(value);
  // A boxed bigint has the tag of its primitive.
  const name = tag === "BigInt" ? "BigIntObject" : tag;
  let reason = "";
  try {
    const body = Object.hasOwn(TYPES, name) && TYPES[name]![0];
    if (body) return extension(codeOf(name), body(value, realm[tag]));
  } catch (error) {
    reason = `: ${(error as Error).message}`;
  }
  throw new DOMException(`a ${tag} cannot be sent${reason}`, "DataCloneError");
}

/** The error for a value that is not as a client writes it. */
export const malformed = (): TypeError => new TypeError("malformed value");

/** The value of an extension. */
export function revive(code: number, body: unknown): unknown {
  const name = NAMES[code - 1]!;
  return TYPES[name]![1]!(body, realm[name]);
}

/** A view of the kind on the buffer of its own bytes, or on one that several share. */
const view = (type: Any, [source, offset, length]: [Uint8Array | ArrayBuffer, number?, number?]): unknown =>
  new type(source instanceof Uint8Array ? source.buffer : source, offset ?? 0, length ?? undefined);

/** The constructor of a kind of typed array, and of nothing else. */
function typedArray(kind: string): Any {
  const type = (globalThis as Any)[kind];
  if (!type?.BYTES_PER_ELEMENT) throw malformed();
  return type;
}

/** A buffer; one that can be resized says how far. */
function buffer(body: Uint8Array | [Uint8Array, number]): ArrayBuffer {
  if (body instanceof Uint8Array) return body.buffer as ArrayBuffer;
  const [bytes, maxByteLength] = body;
  const resizable = new (ArrayBuffer as Any)(bytes.length, { maxByteLength });
  new Uint8Array(resizable).set(bytes);
  return resizable;
}

const bytesOf = (blob: Blob) => (writer: Writer) => writer.blob(blob);

const file = (file: File): Plain => ({
  name: file.name,
  type: file.type,
  last_modified: file.lastModified,
  bytes: bytesOf(file),
});

/** Only a `DataTransfer` makes a `FileList`. */
function fileList(files: File[]): FileList {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  return transfer.files;
}

const boxed: ValueType = [(value, type) => type.prototype.valueOf.call(value), Object];
const make = (numbers: number[], type: Any): unknown => new type(...numbers);
const coordinates = ({ x, y, z, w }: DOMPointReadOnly): number[] => [x, y, z, w];
const point: ValueType = [coordinates, make];
const rect: ValueType = [({ x, y, width, height }: DOMRectReadOnly) => [x, y, width, height], make];
const matrix: ValueType = [
  (m: DOMMatrixReadOnly) => (m.is2D ? [m.a, m.b, m.c, m.d, m.e, m.f] : [...m.toFloat64Array()]),
  (numbers, type) => new type(numbers),
];

/**
 * The MessagePack extensions for the types that structured clone knows and JSON does not, in the order of their codes, which begin with
 * 1: the broker's table in `protocol/src/value/types.rs`, against which a test holds this one. Those that are only named are
 * read and written where the values are that they hold.
 */
const TYPES: Record<string, ValueType> = {
  undefined: [undefined, () => undefined],
  Date: [
    (date: Date) => (Number.isNaN(date.getTime()) ? null : (writer) => writer.float(date.getTime())),
    (time) => new Date(time ?? NaN),
  ],
  BigInt: [undefined, BigInt],
  RegExp: [({ source, flags }: RegExp) => [source, flags], ([source, flags]) => new RegExp(source, flags)],
  Map: [],
  Set: [],
  Error: [],
  Boolean: boxed,
  Number: boxed,
  String: boxed,
  BigIntObject: [(value, type) => String(type.prototype.valueOf.call(value)), (digits) => Object(BigInt(digits))],
  SparseArray: [],
  Graph: [],
  Reference: [],
  ArrayBuffer: [(it) => (it.resizable ? [new Uint8Array(it), it.maxByteLength] : new Uint8Array(it)), buffer],
  TypedArray: [undefined, ([kind, ...rest]) => view(typedArray(kind), rest as [Uint8Array])],
  DataView: [undefined, (body) => view(DataView, body instanceof Uint8Array ? [body] : body)],
  Blob: [(blob: Blob) => ({ type: blob.type, bytes: bytesOf(blob) }), ({ type, bytes }, Blob) => new Blob([bytes], { type })],
  File: [
    file,
    ({ name, type, last_modified, bytes }, File) =>
      new File([bytes], name, { type, ...(last_modified !== null && { lastModified: last_modified }) }),
  ],
  FileList: [(files: FileList) => Array.from(files, (each) => extension(Extension.File, file(each))), fileList],
  ImageData: [
    ({ width, height, colorSpace, data }: ImageData) => ({
      width,
      height,
      color_space: colorSpace ?? "srgb",
      bytes: new Uint8Array(data.buffer),
    }),
    imageDataOf,
  ],
  ImageBitmap: [pixelsOf, bitmapOf],
  DOMPoint: point,
  DOMPointReadOnly: point,
  DOMRect: rect,
  DOMRectReadOnly: rect,
  DOMQuad: [
    ({ p1, p2, p3, p4 }: DOMQuad) => [p1, p2, p3, p4].map(coordinates),
    (points: number[][]) => new DOMQuad(...points.map(([x, y, z, w]) => ({ x, y, z, w }) as DOMPointInit)),
  ],
  DOMMatrix: matrix,
  DOMMatrixReadOnly: matrix,
  Utf16String: [
    undefined,
    (bytes: Uint8Array) => Array.from(new Uint16Array(bytes.buffer), (unit) => String.fromCharCode(unit)).join(""),
  ],
};

export const NAMES = Object.keys(TYPES);

/** The code of a name; 0 for none. */
export const codeOf = (name: string): number => NAMES.indexOf(name) + 1;

/** The constructors as they were at the start: a page may delete or replace them, and values are still of the browser's own types. */
const realm: Any = Object.fromEntries(NAMES.map((name) => [name, (globalThis as Any)[name]]));
