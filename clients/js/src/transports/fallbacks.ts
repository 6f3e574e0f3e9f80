/** The transports whose frames are JSON, in the script that the broker serves as `/client/fallbacks.js`. */
import { base64url } from "../base64url.js";
import { fromJson } from "../codec/json.js";
import { readFrames } from "../frames.js";
import { randomName } from "../random.js";
import { type Courier, OneWay } from "./one_way.js";
import { readPolls } from "./poll.js";
import type { Scripts } from "./scripted.js";
import { address, type Listener, type Target } from "./transport.js";

type Fallbacks = NonNullable<Scripts["widecastFallbacks"]>;

/** An EventSource that does not try again is so: it was answered with something else. */
const CLOSED = 2;
/** How many bytes of commands go into one URL: 7680 characters of base64, where 8000 in all get through everywhere. */
const BYTES_IN_URL = 5760;
/** How large a message may be, so that its command with the longest names is not larger than that. */
const MESSAGE_BYTES = 5120;

const targetOf = (base: string, sender: string, withCredentials: boolean | undefined): Target => {
  const fetch = globalThis.fetch?.bind(globalThis);
  return { base: new URL(base), sender, platform: { fetch }, withCredentials };
};

/** Frames by an EventSource, commands by POST. */
const sse: Fallbacks["sse"] = (base, sender, withCredentials, listener) => {
  const target = targetOf(base, sender, withCredentials);
  const way = new OneWay(target, listener);
  const source = new EventSource(address(target, "v1/sse", { session: "new" }), { withCredentials: !!withCredentials });
  source.onmessage = ({ data }: MessageEvent<string>) => way.frames(readFrames(fromJson(JSON.parse(data))));
  // It would reconnect by itself, to a session that knows nothing of this one.
  source.onerror = () => (source.readyState === CLOSED ? way.refused() : way.end("the stream ended"));
  way.signal.onabort = () => source.close();
  return way;
};

/** Polls and commands as scripts that the page loads, for where nothing else gets through. */
const jsonp: Fallbacks["jsonp"] = (base, sender, withCredentials, listener) => {
  const target = targetOf(base, sender, withCredentials);
  const frames: Listener["frames"] = (frames) => {
    for (const { limits } of frames) if (limits) limits.message_bytes = Math.min(limits.message_bytes, MESSAGE_BYTES);
    listener.frames(frames);
  };
  const courier: Courier = (target, path, commands) => load(target, path, { msgpack: base64url(commands) });
  const way = new OneWay(target, { ...listener, frames }, courier, BYTES_IN_URL);
  void readPolls(way, async (parameters) => {
    // A script that waits for its answer would keep the page from being loaded.
    if (document.readyState !== "complete") {
      parameters["timeout"] = "0";
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    return fromJson(await load(target, "v1/poll", parameters));
  });
  // A URL leaves at once, or it is held up: a script does not tell.
  return { busy: false, send: (commands) => way.send(commands), close: () => way.close() };
};

(globalThis as Scripts).widecastFallbacks = { sse, jsonp };

/** Loads an answer as a script that calls a function whose name nobody can guess. */
function load(target: Target, path: string, parameters: Record<string, string>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const callback = `widecast_${randomName(20).replace(/-/g, "$")}`;
    const scope = globalThis as Record<string, unknown>;
    const script = document.createElement("script");
    scope[callback] = (answer: { error?: { code: string; message: string; retry_after_ms?: number } }) => {
      const { error } = answer;
      if (error) {
        const { code, message, retry_after_ms } = error;
        // The link reads it there, as from the other transports.
        const wait = retry_after_ms ? ` Retry-After: ${Math.ceil(retry_after_ms / 1000)} ` : "";
        reject(new Error(`${code}:${wait} ${message}`));
      } else resolve(answer);
    };
    script.onload = script.onerror = () => {
      script.remove();
      delete scope[callback];
      // This changes nothing when the function was called.
      reject(new Error("the script was not loaded"));
    };
    script.src = address(target, path, { ...parameters, callback }).href;
    document.head.append(script);
  });
}
