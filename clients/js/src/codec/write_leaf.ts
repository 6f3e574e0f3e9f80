/** The types whose values hold no other values: the body of their extension. */
import { Extension } from "./extension.js";
import { tagOf } from "./kind.js";
import { pixelsOf } from "./pixels.js";
import type { Writer } from "./writer.js";

type Write = (writer: Writer, value: any) => void; // eslint-disable-line @typescript-eslint/no-explicit-any -- by tag

/**
 * Writes a value that holds no other values.
 *
 * @throws DataCloneError when it cannot travel.
 */
export function writeLeaf(writer: Writer, value: object): void {
  const tag = tagOf(value);
  const write = Object.hasOwn(WRITERS, tag) && WRITERS[tag as keyof typeof WRITERS];
  if (!write) throw new DOMException(`a ${tag} cannot be sent`, "DataCloneError");
  // A boxed bigint has the tag of its primitive.
  const code = tag === "BigInt" ? Extension.BigIntObject : Extension[tag as keyof typeof Extension];
  try {
    writer.extension(code, () => write(writer, value));
  } catch (error) {
    throw new DOMException(`a ${tag} cannot be sent: ${(error as Error).message}`, "DataCloneError");
  }
}

const numbers = (writer: Writer, values: Iterable<number>): void => {
  const list = [...values];
  writer.array(list.length);
  for (const number of list) writer.number(number);
};
const point = (writer: Writer, { x, y, z, w }: DOMPointReadOnly): void => numbers(writer, [x, y, z, w]);
const rect: Write = (writer, { x, y, width, height }: DOMRectReadOnly) => numbers(writer, [x, y, width, height]);
const matrix: Write = (writer, m: DOMMatrixReadOnly) =>
  numbers(writer, m.is2D ? [m.a, m.b, m.c, m.d, m.e, m.f] : m.toFloat64Array());

function fields(writer: Writer, fields: [string, () => void][]): void {
  writer.map(fields.length);
  for (const [name, value] of fields) {
    writer.string(name);
    value();
  }
}

const file: Write = (writer, file: File) =>
  fields(writer, [
    ["name", () => writer.string(file.name)],
    ["type", () => writer.string(file.type)],
    ["last_modified", () => writer.number(file.lastModified)],
    ["bytes", () => writer.blob(file)],
  ]);

const WRITERS: Record<string, Write> = {
  Date(writer, date: Date) {
    const time = date.getTime();
    if (Number.isNaN(time)) writer.nil();
    else writer.float(time);
  },
  RegExp(writer, { source, flags }: RegExp) {
    writer.array(2);
    writer.string(source);
    writer.string(flags);
  },
  Boolean: (writer, boxed: boolean) => writer.boolean(Boolean.prototype.valueOf.call(boxed)),
  Number: (writer, boxed: number) => writer.number(Number.prototype.valueOf.call(boxed)),
  String: (writer, boxed: string) => writer.string(String.prototype.valueOf.call(boxed)),
  BigInt: (writer, boxed: bigint) => writer.string(BigInt.prototype.valueOf.call(boxed).toString()),
  ArrayBuffer(writer, buffer: ArrayBuffer) {
    if (!buffer.resizable) return writer.binary(new Uint8Array(buffer));
    writer.array(2);
    writer.binary(new Uint8Array(buffer));
    writer.number(buffer.maxByteLength);
  },
  Blob: (writer, blob: Blob) =>
    fields(writer, [
      ["type", () => writer.string(blob.type)],
      ["bytes", () => writer.blob(blob)],
    ]),
  File: file,
  FileList(writer, files: FileList) {
    writer.array(files.length);
    for (const each of files) writer.extension(Extension.File, () => file(writer, each));
  },
  ImageData: (writer, image: ImageData) =>
    fields(writer, [
      ["width", () => writer.number(image.width)],
      ["height", () => writer.number(image.height)],
      ["color_space", () => writer.string(image.colorSpace ?? "srgb")],
      ["bytes", () => writer.binary(new Uint8Array(image.data.buffer))],
    ]),
  ImageBitmap(writer, bitmap: ImageBitmap) {
    const { width, height, bytes } = pixelsOf(bitmap);
    fields(writer, [
      ["width", () => writer.number(width)],
      ["height", () => writer.number(height)],
      ["bytes", () => writer.binary(bytes)],
    ]);
  },
  DOMPoint: point,
  DOMPointReadOnly: point,
  DOMRect: rect,
  DOMRectReadOnly: rect,
  DOMQuad(writer, { p1, p2, p3, p4 }: DOMQuad) {
    writer.array(4);
    for (const corner of [p1, p2, p3, p4]) point(writer, corner);
  },
  DOMMatrix: matrix,
  DOMMatrixReadOnly: matrix,
};
