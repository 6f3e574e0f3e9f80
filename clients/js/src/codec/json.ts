/**
 * JSON frames as MessagePack, so that values have one reader. The tagged objects are those of the broker's
 * `protocol/src/value/mod.rs`; an object that only looks like one is an ordinary object.
 */
import { codeOf } from "./value_types.js";
import { extension, type Plain, raw, write } from "./writer.js";

/** The MessagePack of a parsed JSON text. */
export function fromJson(json: unknown): Uint8Array<ArrayBuffer> {
  return write(plain(json)).bytes;
}

function plain(json: unknown): Plain {
  if (Array.isArray(json)) return json.map(plain);
  return isObject(json) ? (tagged(json) ?? fields(json)) : (json as Plain);
}

const fields = (object: object): Plain => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, plain(value)]));

/** The value that a tagged object stands for; undefined if the object only looks like one. */
function tagged(json: object): Plain | undefined {
  const shape = Object.keys(json).join();
  const { $type, value, code } = json as { $type: string; value: any; code: any }; // Checked below.
  if (shape === "$type,code,value") {
    // A code is a signed byte.
    if ($type !== "ext" || !Number.isInteger(code) || code !== (code << 24) >> 24 || !isBase64(value)) return undefined;
    return extension(code, raw(base64(value)));
  }
  if (shape !== "$type,value") return undefined;
  if ($type === "binary" && isBase64(value)) return base64(value);
  if ($type === "number" && /^(NaN|-?Infinity)$/.test(value)) return Number(value);
  if ($type === "object" && isObject(value)) return fields(value);
  if ($type === "map" && Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2)) {
    return (writer) => writer.map(value.map((pair) => pair.map(plain)));
  }
  const known = codeOf($type);
  return known ? extension(known, plain(value)) : undefined;
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
