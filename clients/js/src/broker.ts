/** Finds out which broker is meant, and has the one connection to it that the channels of this context share. */
import type { ConnectionOptions } from "./api.js";
import { Connection } from "./connection.js";

/** The address of the script: it is known only while the script is loaded, and in a classic worker by a stack alone. */
const SCRIPT =
  import.meta.url || (globalThis.document?.currentScript as HTMLScriptElement | null)?.src || new Error().stack || "";

/** The broker that has served the script, if it was one. */
export const SERVED = /https?:[^\s()]*?\/(?=client\/widecast[\w.]*js\b)/.exec(SCRIPT)?.[0];

const connections = new Map<string, Connection>();

/** The broker's address: by default the server that the script came from, if it was a broker, else that of the page. */
export function brokerAddress(broker: string | URL | undefined): URL {
  const { location, origin } = globalThis as { location?: Location; origin?: string };
  // The address of a worker or frame that was made of a text says nothing, but its origin may.
  const page = [location?.href, origin].find((each) => /^http/.test(each!));
  const url = new URL(broker ?? SERVED ?? new URL("/", page ?? SCRIPT), page);
  url.protocol = url.protocol.replace(/^ws/, "http");
  if (!/^http/.test(url.protocol)) throw new TypeError("name a broker");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  url.search = url.hash = "";
  return url;
}

/** The connection to a broker; the first call decides on its options. */
export function connectionTo(broker: URL, options: ConnectionOptions = {}): Connection {
  const present = connections.get(broker.href);
  if (present && present.state !== "closed") return present;
  const connection = new Connection(broker, options);
  connections.set(broker.href, connection);
  return connection;
}

/** Connects to a broker, and stays connected until `close`. Channels of the same broker use the same connection. */
export function connect(broker?: string | URL, options: ConnectionOptions = {}): Connection {
  return connectionTo(brokerAddress(broker), options).hold();
}
