import { readFrames } from "../frames.js";
import { CommandPost } from "./post.js";
import { address, type Listener, type Target, type TransportType } from "./transport.js";

/** HTTP streaming: frames of MessagePack, each behind its length in 4 bytes. */
export const stream: TransportType = {
  name: "stream",
  available: (platform) => !!platform.fetch && typeof ReadableStream === "function",
  open(target, listener) {
    const abort = new AbortController();
    const close = (): void => {
      abort.abort();
      post.close();
    };
    const end = (reason: string): void => {
      if (abort.signal.aborted) return;
      close();
      listener.closed(reason);
    };
    const post = new CommandPost(target, end);
    const opened: Listener["frames"] = (frames) => {
      for (const { type, session } of frames) if (type === "welcome") post.open(session!);
      if (!abort.signal.aborted) listener.frames(frames);
    };
    read(target, abort.signal, opened).then(() => end("the stream ended"), (error) => end(String(error)));
    return {
      get busy() {
        return post.busy;
      },
      send: (commands) => post.send(commands),
      close,
    };
  },
};

async function read(target: Target, signal: AbortSignal, frames: Listener["frames"]): Promise<void> {
  const answer = await target.platform.fetch!(address(target, "v1/stream", { session: "new" }), {
    headers: { accept: "application/msgpack" },
    cache: "no-store",
    signal,
  });
  if (!answer.ok || !answer.body) throw new Error(`the stream was answered ${answer.status}`);
  const reader = answer.body.getReader();
  let rest = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest = joined(rest, value);
    let at = 0;
    for (let end; rest.length - at >= 4; at = end) {
      const length = new DataView(rest.buffer, rest.byteOffset + at).getUint32(0);
      end = at + 4 + length;
      if (end > rest.length) break;
      frames(length ? readFrames(rest.subarray(at + 4, end)) : []);
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
