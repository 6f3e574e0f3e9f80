/** Messages that were posted in this browser and may still come from the broker: a channel object that was opened later is not to hear them. */
import { heardBefore } from "./heard.js";
import { Local } from "./local.js";

/**
 * Messages that were posted or heard in this context without the broker, or posted in another before a channel was opened here: every
 * channel that was there has heard them. Each is known by its broker and its id.
 */
const heardHere = new Set<string>();

/** Messages that were told to the other contexts and are on their way to the broker, each with the name of its channel. */
const underWay = new Map<string, string>();

/** The channel on which contexts ask each other for messages that are under way, and tell them. */
let posts: Local | undefined;

/** The channels for which others were asked in this turn: their later answers hold for all objects of the turn. */
const asked = new Set<string>();

/** A message was heard in this context, or posted: its key is its broker and its id. */
export const remember = (key: string): boolean => heardBefore(heardHere, key);

export const wasHeardHere = (key: string): boolean => heardHere.has(key);

/** A message that was told to the other contexts is on its way to the broker until its receipt is there. */
export function follow(key: string, name: string, receipt: Promise<unknown>): void {
  const arrived = (): unknown => underWay.delete(key);
  underWay.set(key, name);
  receipt.then(arrived, arrived);
}

/** Asks other contexts which messages were posted in this browser before a channel was opened: they are not for it when they come from the broker. */
export function askForPosts(name: string): void {
  // In Node an open channel would keep the process alive.
  if (!(globalThis.addEventListener as unknown) || asked.has(name)) return;
  asked.add(name);
  queueMicrotask(() => asked.delete(name));
  if (!posts) {
    posts = new Local("widecast posts", {
      message: ([name, , keys]) => {
        if (keys) for (const key of keys as string[]) remember(key);
        else tellPosts(name);
      },
      // Channels may have been opened while this page was in the back/forward cache.
      missed: tellPosts,
    });
    posts.listen(true);
  }
  posts.post([name]);
}

/** Tells other contexts which messages are under way on a channel, or on all. */
function tellPosts(name?: string): void {
  const keys = [...underWay.keys()].filter((key) => !name || underWay.get(key) === name);
  if (keys.length) posts!.post(["", undefined, keys]);
}
