import { fromJson } from "../codec/index.js";
import { readFrames } from "../frames.js";
import { CommandPost } from "./post.js";
import { address, type TransportType } from "./transport.js";

export const sse: TransportType = {
  name: "sse",
  available: (platform) => !!platform.EventSource && !!platform.fetch,
  open(target, listener) {
    const source = new target.platform.EventSource!(address(target, "v1/sse", { session: "new" }));
    const end = (reason: string): void => {
      close();
      listener.closed(reason);
    };
    const post = new CommandPost(target, end);
    const close = (): void => {
      source.onmessage = source.onerror = null;
      source.close();
      post.close();
    };
    source.onmessage = ({ data }: MessageEvent<string>) => {
      const frames = readFrames(fromJson(JSON.parse(data)));
      for (const { type, session } of frames) if (type === "welcome") post.open(session!);
      listener.frames(frames);
    };
    // It would reconnect by itself, to a session that knows nothing of this one.
    source.onerror = () => end("the event stream ended");
    return {
      get busy() {
        return post.busy;
      },
      send: (commands) => post.send(commands),
      close,
    };
  },
};
