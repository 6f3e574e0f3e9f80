import { fromJson } from "../codec/index.js";
import { readFrames } from "../frames.js";
import { OneWay } from "./one_way.js";
import { address, type TransportType } from "./transport.js";

export const sse: TransportType = {
  name: "sse",
  available: (platform) => !!platform.EventSource && !!platform.fetch,
  open(target, listener) {
    const way = new OneWay(target, listener);
    const source = new target.platform.EventSource!(address(target, "v1/sse", { session: "new" }));
    source.onmessage = ({ data }: MessageEvent<string>) => way.frames(readFrames(fromJson(JSON.parse(data))));
    // It would reconnect by itself, to a session that knows nothing of this one.
    source.onerror = () => way.end("the event stream ended");
    way.signal.onabort = () => source.close();
    return way;
  },
};
