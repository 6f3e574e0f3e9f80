import { readPoll } from "../frames.js";
import { CommandPost } from "./post.js";
import { address, type Listener, type Transport, type TransportType } from "./transport.js";

/** Long-polling: each answer says how far the frames go, and the next poll that they arrived. */
export const poll: TransportType = {
  name: "poll",
  available: (platform) => !!platform.fetch,
  open: (target, listener) =>
    openPolls(listener, (end) => new CommandPost(target, end), async (parameters, signal) => {
      const answer = await target.platform.fetch!(address(target, "v1/poll", parameters), {
        headers: { accept: "application/msgpack" },
        cache: "no-store",
        signal,
      });
      if (!answer.ok) throw new Error(`the poll was answered ${answer.status}`);
      return new Uint8Array(await answer.arrayBuffer());
    }),
};

/** Asks once; the answer is MessagePack. */
type Ask = (parameters: Record<string, string>, signal: AbortSignal) => Promise<Uint8Array>;

/** A session of polls, however they ask and whatever takes its commands. */
export function openPolls(listener: Listener, postFor: (end: (reason: string) => void) => CommandPost, ask: Ask): Transport {
  const abort = new AbortController();
  const close = (): void => {
    abort.abort();
    post.close();
  };
  const end = (reason: unknown): void => {
    if (abort.signal.aborted) return;
    close();
    listener.closed(String(reason));
  };
  const post = postFor(end);
  read(ask, abort.signal, post, listener).catch(end);
  return {
    get busy() {
      return post.busy;
    },
    send: (commands) => post.send(commands),
    close,
  };
}

async function read(ask: Ask, signal: AbortSignal, post: CommandPost, listener: Listener): Promise<void> {
  // The first is answered at once, with the welcome.
  let parameters: Record<string, string> = { session: "new" };
  while (!signal.aborted) {
    const { session, frames, cursor } = readPoll(await ask(parameters, signal));
    if (parameters["session"] === "new") post.open(session);
    parameters = { session, cursor };
    if (!signal.aborted) listener.frames(frames);
  }
}
