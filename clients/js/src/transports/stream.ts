import { readFrames } from "../frames.js";
import { OneWay } from "./one_way.js";
import { address, type Target, type TransportType } from "./transport.js";

/** HTTP streaming: frames of MessagePack, each behind its length in 4 bytes. */
export const stream: TransportType = {
  name: "stream",
  available: (platform) => !!platform.fetch && typeof ReadableStream === "function",
  open(target, listener) {
    const way = new OneWay(target, listener);
    read(target, way).catch((error: unknown) => way.end(error));
    return way;
  },
};

async function read(target: Target, way: OneWay): Promise<never> {
  const answer = await target.platform.fetch!(address(target, "v1/stream", { session: "new" }), {
    headers: { accept: "application/msgpack" },
    cache: "no-store",
    signal: way.signal,
  });
  if (!answer.ok || !answer.body) throw new Error(`the stream was answered ${answer.status}`);
  const reader = answer.body.getReader();
  let rest = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the stream ended");
    rest = joined(rest, value);
    let at = 0;
    for (let end; rest.length - at >= 4; at = end) {
      const length = new DataView(rest.buffer, rest.byteOffset + at).getUint32(0);
      end = at + 4 + length;
      if (end > rest.length) break;
      way.frames(length ? readFrames(rest.subarray(at + 4, end)) : []);
    }
    rest = rest.subarray(at);
  }
}

function joined(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (!a.length) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
