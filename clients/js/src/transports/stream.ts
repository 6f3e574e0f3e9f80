import { concat } from "../codec/index.js";
import { readFrames } from "../frames.js";
import { OneWay } from "./one_way.js";
import type { TransportType } from "./transport.js";

/** HTTP streaming: frames of MessagePack, each behind its length in 4 bytes. */
export const stream: TransportType = {
  name: "stream",
  open(target, listener) {
    const way = new OneWay(target, listener);
    read(way).catch(way.end);
    return way;
  },
};

async function read(way: OneWay): Promise<never> {
  const reader = (await way.get("v1/stream", { session: "new" })).body!.getReader();
  let rest = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the stream ended");
    rest = concat([rest, value]);
    let at = 0;
    for (let end = 0; rest.length - at >= 4; at = end) {
      const length = new DataView(rest.buffer, rest.byteOffset + at).getUint32(0);
      end = at + 4 + length;
      if (end > rest.length) break;
      way.frames(length ? readFrames(rest.subarray(at + 4, end)) : []);
    }
    rest = rest.subarray(at);
    // A part of a frame is a sign of life, too.
    way.frames([]);
  }
}
