import { base64url } from "../base64url.js";
import { fromJson } from "../codec/index.js";
import { randomName } from "../random.js";
import { type Courier, OneWay } from "./one_way.js";
import { readPolls } from "./poll.js";
import { address, type Target, type TransportType } from "./transport.js";

/** How many bytes of commands go into one URL: 7680 characters of base64, where 8000 in all get through everywhere. */
const BYTES_IN_URL = 5760;
/** How large a message may be, so that its command with the longest names is not larger than that. */
const MESSAGE_BYTES = 5120;

/** Polls and commands as scripts that the page loads, for where nothing else gets through. */
export const jsonp: TransportType = {
  name: "jsonp",
  isLastResort: true,
  // A script says nothing of who asks for it: that the broker refuses opaque origins is not to be got around.
  available: () => !!globalThis.document && origin !== "null",
  open(target, listener) {
    const frames: typeof listener.frames = (frames) => {
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
  },
};

/** Loads an answer as a script that calls a function whose name nobody can guess. */
function load(target: Target, path: string, parameters: Record<string, string>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const callback = `widecast_${randomName(20).replace(/-/g, "$")}`;
    const scope = globalThis as Record<string, unknown>;
    const script = document.createElement("script");
    scope[callback] = (answer: { error?: { code: string; message: string } }) => {
      const { error } = answer;
      if (error) reject(new Error(`${error.code}: ${error.message}`));
      else resolve(answer);
    };
    script.onload = script.onerror = () => {
      script.remove();
      delete scope[callback];
      // Says nothing when the function was called.
      reject(new Error("the script was not loaded"));
    };
    script.src = address(target, path, { ...parameters, callback }).href;
    document.head.append(script);
  });
}
