/**
 * The types whose values hold no other values: from the body of their extension. Types that a realm lacks (`DOMPoint` in
 * a worker of some browsers) throw there, as the native deserialization fails.
 */
import { Extension } from "./extension.js";
import { bitmapOf } from "./pixels.js";

type Body = any; // eslint-disable-line @typescript-eslint/no-explicit-any -- each reviver knows its own body

const global = globalThis as Record<string, Body>;

/** The value of an extension. */
export function reviveLeaf(code: number, body: Body): unknown {
  const revive = REVIVERS[code];
  if (!revive) throw new TypeError(`extension ${code} is unknown`);
  return revive(body);
}

/** A view of the kind on the buffer of its own bytes, or on one that several share. */
function view(type: Body, [source, offset, length]: [Uint8Array | ArrayBuffer, number?, number?]): unknown {
  const buffer = source instanceof Uint8Array ? source.buffer : source;
  return new type(buffer, offset ?? 0, length ?? undefined);
}

/** A buffer; one that can be resized says how far. */
function buffer(body: Uint8Array | [Uint8Array, number]): ArrayBuffer {
  if (body instanceof Uint8Array) return body.buffer as ArrayBuffer;
  const [bytes, maxByteLength] = body;
  const resizable = new (ArrayBuffer as Body)(bytes.length, { maxByteLength });
  new Uint8Array(resizable).set(bytes);
  return resizable;
}

function text(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 2) text += String.fromCharCode(bytes[i]! | (bytes[i + 1]! << 8));
  return text;
}

function file({ name, type, last_modified, bytes }: Body): File {
  return new File([bytes], name, { type, ...(last_modified !== null && { lastModified: last_modified }) });
}

/** Only a `DataTransfer` makes a `FileList`. */
function fileList(files: File[]): FileList {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  return transfer.files;
}

const geometry = (name: string) => (numbers: number[]) => new global[name](...numbers);
const matrix = (name: string) => (numbers: number[]) => new global[name](numbers);
const point = ([x, y, z, w]: number[]) => ({ x, y, z, w });

const REVIVERS: Record<number, (body: Body) => unknown> = {
  [Extension.undefined]: () => undefined,
  [Extension.Date]: (time) => new Date(time ?? NaN),
  [Extension.BigInt]: (digits) => BigInt(digits),
  [Extension.RegExp]: ([source, flags]) => new RegExp(source, flags),
  [Extension.Boolean]: Object,
  [Extension.Number]: Object,
  [Extension.String]: Object,
  [Extension.BigIntObject]: (digits) => Object(BigInt(digits)),
  [Extension.ArrayBuffer]: buffer,
  [Extension.TypedArray]: ([kind, ...rest]) => view(typedArray(kind), rest as [Uint8Array]),
  [Extension.DataView]: (body) => view(DataView, body instanceof Uint8Array ? [body] : body),
  [Extension.Blob]: ({ type, bytes }) => new Blob([bytes], { type }),
  [Extension.File]: file,
  [Extension.FileList]: fileList,
  [Extension.ImageData]: ({ width, height, color_space, bytes }) =>
    new ImageData(new Uint8ClampedArray(bytes.buffer), width, height, { colorSpace: color_space ?? "srgb" }),
  [Extension.ImageBitmap]: bitmapOf,
  [Extension.DOMPoint]: geometry("DOMPoint"),
  [Extension.DOMPointReadOnly]: geometry("DOMPointReadOnly"),
  [Extension.DOMRect]: geometry("DOMRect"),
  [Extension.DOMRectReadOnly]: geometry("DOMRectReadOnly"),
  [Extension.DOMQuad]: (points) => new DOMQuad(...points.map(point)),
  [Extension.DOMMatrix]: matrix("DOMMatrix"),
  [Extension.DOMMatrixReadOnly]: matrix("DOMMatrixReadOnly"),
  [Extension.Utf16String]: text,
};

/** The constructor of a kind of typed array, and of nothing else. */
function typedArray(kind: string): Body {
  const type = /^(Ui|I|Fl|BigI|BigUi)[nt|oat]+\d+(Clamped)?Array$/.test(kind) && global[kind];
  if (!type) throw new TypeError("unknown kind of typed array");
  return type;
}
