import { readPoll } from "../frames.js";
import { OneWay } from "./one_way.js";
import type { TransportType } from "./transport.js";

/** Long-polling: each answer says how far the frames go, and the next poll that they arrived. */
export const poll: TransportType = {
  name: "poll",
  open(target, listener) {
    const way = new OneWay(target, listener);
    void readPolls(way, async (parameters) => new Uint8Array(await (await way.get("v1/poll", parameters)).arrayBuffer()));
    return way;
  },
};

/** Brings the frames of a session of polls, however it asks; the answers are MessagePack. */
export async function readPolls(way: OneWay, ask: (parameters: Record<string, string>) => Promise<Uint8Array>): Promise<void> {
  // The first is answered at once, with the welcome.
  let parameters: Record<string, string> = { session: "new" };
  try {
    while (!way.signal.aborted) {
      const { session, frames, cursor } = readPoll(await ask(parameters));
      parameters = { session, cursor };
      way.frames(frames);
    }
  } catch (error) {
    way.end(error);
  }
}
