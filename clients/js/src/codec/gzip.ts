/**
 * Compressed values: extension 31 around the gzip of a value's MessagePack, where `CompressionStream` exists
 * (https://compression.spec.whatwg.org/). The broker passes them on as they are to clients like this one.
 */
import { concat } from "./concat.js";
import { Reader } from "./reader.js";
import { malformed } from "./value_types.js";
import { type Encoded, extension, write } from "./writer.js";

/** No type of values, hence not in their table: it stands for a whole message. */
const GZIP = 31;
/** A value that does not become at least so much smaller is sent as it is: images and archives, for whose receivers it would be work for nothing. */
const WORTHWHILE = 0.9;

/** The same value compressed, if it has so many bytes at least and compressing makes it smaller. */
export function compress(encoded: Encoded, from: number | false): Encoded {
  const { bytes, size } = encoded;
  if (!from || size < from || !globalThis.CompressionStream) return encoded;
  const pack = async (): Promise<void> => {
    await encoded.ready;
    const gzip = await pipe(bytes, new CompressionStream("gzip"), Infinity);
    if (gzip.length > size * WORTHWHILE) return;
    compressed.bytes = write(extension(GZIP, gzip)).bytes;
  };
  const compressed = { bytes, size, ready: pack() };
  return compressed;
}

/**
 * The bytes of a value: themselves, unless it is compressed; then a promise that is broken when they are corrupt or more
 * than the limit.
 */
export function inflate(data: Uint8Array, limit: number): Uint8Array | Promise<Uint8Array> {
  const code = [2, 3, 5][data[0]! - 0xc7]!;
  if (data[code] !== GZIP) return data;
  const gzip = new Reader(data.subarray(code + 1)).value() as Uint8Array<ArrayBuffer>;
  return pipe(gzip, new DecompressionStream("gzip"), limit);
}

async function pipe(bytes: Uint8Array<ArrayBuffer>, through: CompressionStream, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const write = (part: Uint8Array<ArrayBuffer>): void => {
    if ((size += part.length) > limit) throw malformed();
    parts.push(part);
  };
  // By Response and by hand: it takes several times as long to ask the browser for a Blob.
  await new Response(bytes).body!.pipeThrough(through).pipeTo(new WritableStream({ write }));
  return concat(parts);
}
