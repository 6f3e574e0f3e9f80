/**
 * JSON frames as MessagePack, so that values have one reader. The tagged objects are those of the broker's
 * `protocol/src/value/mod.rs`; what only looks like one is an ordinary object.
 */
import { Extension } from "./extension.js";
import { Writer } from "./writer.js";

/** The MessagePack of a parsed JSON text. */
export function fromJson(json: unknown): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  write(writer, json);
  return writer.finish().bytes;
}

function write(writer: Writer, json: unknown): void {
  if (json === null) writer.nil();
  else if (typeof json === "string") writer.string(json);
  else if (typeof json === "number") writer.number(json);
  else if (typeof json === "boolean") writer.boolean(json);
  else if (Array.isArray(json)) list(writer, json);
  else if (!tagged(writer, json as object)) object(writer, json as object);
}

function list(writer: Writer, items: unknown[]): void {
  writer.array(items.length);
  for (const item of items) write(writer, item);
}

function object(writer: Writer, object: object): void {
  const entries = Object.entries(object);
  writer.map(entries.length);
  for (const [key, value] of entries) {
    writer.string(key);
    write(writer, value);
  }
}

/** Writes a tagged object; returns whether it was one. */
function tagged(writer: Writer, json: object): boolean {
  const shape = Object.keys(json).join();
  const { $type, value, code } = json as { $type: string; value: any; code: any }; // eslint-disable-line @typescript-eslint/no-explicit-any -- checked below
  if (shape === "$type,code,value") {
    // A code is a signed byte.
    if ($type !== "ext" || !Number.isInteger(code) || code !== (code << 24) >> 24 || !isBase64(value)) return false;
    writer.extension(code, () => writer.raw(base64(value)));
    return true;
  }
  if (shape !== "$type,value") return false;
  if ($type === "binary" && isBase64(value)) {
    writer.binary(base64(value));
  } else if ($type === "number" && /^(NaN|-?Infinity)$/.test(value)) {
    writer.float(Number(value));
  } else if ($type === "object" && isObject(value)) {
    object(writer, value);
  } else if ($type === "map" && Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2)) {
    writer.map(value.length);
    for (const part of value.flat(1)) write(writer, part);
  } else if (Object.hasOwn(Extension, $type)) {
    writer.extension(Extension[$type as keyof typeof Extension], () => write(writer, value));
  } else {
    return false;
  }
  return true;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isBase64(value: unknown): boolean {
  return typeof value === "string" && /^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/.test(value) && !value.includes("_");
}

function base64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
