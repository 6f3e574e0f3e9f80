/** Makes the line of a connection, as its options and the platform have it: by which transports, shared with other tabs or not. */
import { Backoff } from "./backoff.js";
import { bridged } from "./bridged.js";
import type { Dial, Line, LineListener } from "./line.js";
import { Link } from "./link.js";
import { randomName } from "./random.js";
import type { Settings } from "./settings.js";
import { SharedLine } from "./shared_line.js";
import { type Platform, type Target, TRANSPORTS } from "./transports/index.js";

/** The broker that a connection leads to, and the sender's name there; a page may bring parts of the platform. */
export function targetOf(base: URL, settings: Settings): Target {
  const { WebSocket, fetch } = globalThis;
  const own = settings as Pick<Settings, never> as Platform;
  const platform = { WebSocket, fetch: fetch.bind(globalThis), ...own };
  return { base, sender: randomName(32), platform, withCredentials: settings.withCredentials };
}

/**
 * The line to a broker. `level`: how many sessions the page has before this one.
 *
 * @throws NotSupportedError when there is no page for the bridge that the options ask for.
 */
export function lineTo(target: Target, settings: Settings, level: number, listener: LineListener): Line {
  const { bridge, transports, replyTimeout, scope = "", withCredentials } = settings;
  if (bridge && !globalThis.document) throw new DOMException("a bridge needs a page", "NotSupportedError");
  // Without it no compressed value can be read (Firefox 112, Safari 16.3). The second transport speaks JSON, which is never compressed.
  const known = TRANSPORTS.slice(globalThis.DecompressionStream ? 0 : 1);
  const names = transports ?? known.map((type) => type.name);
  const types = names.flatMap((name) =>
    TRANSPORTS.filter((type) => type.name === name && type.available?.(target.platform) !== false),
  );
  // The waits are the same whether this tab leads, follows, or leads again.
  const backoff = new Backoff(settings);
  const dial: Dial = (listener, retry) =>
    new Link(bridge ? types.map(bridged) : types, target, settings, backoff, listener, retry);
  if (!isShared(settings)) return dial(listener);
  // Tabs with the script of an older version, which speak otherwise among each other, have another name.
  const name = ["widecast 4", target.base, names, !!bridge, !!withCredentials, scope, level].join(" ");
  return new SharedLine(name, replyTimeout, dial, listener);
}

/** Whether other tabs may use the line. They do not have the parts of the platform that a page has brought. */
function isShared({ share, token, subscriptionToken, scope, WebSocket, fetch }: Settings): boolean {
  const isForAll = (token ?? subscriptionToken) === undefined || scope !== undefined;
  return share && SharedLine.isAvailable && !(WebSocket || fetch) && isForAll;
}
