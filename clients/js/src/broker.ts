/** Which broker is meant, and the one connection to it that the channels of this context share. */
import { Connection, type ConnectionOptions } from "./connection.js";

/** Where the script came from: known only while it is loaded. */
const SCRIPT = import.meta.url || (globalThis.document?.currentScript as HTMLScriptElement | null)?.src || "";

const connections = new Map<string, Connection>();

/** The broker's address: by default the server that the script came from, if it was a broker, else that of the page. */
export function brokerAddress(broker: string | URL | undefined): URL {
  const served = /^(.*\/)client\/widecast[\w.]*js([?#].*)?$/.exec(SCRIPT)?.[1];
  const { location } = globalThis as { location?: Location };
  const page = location && /^http/.test(location.protocol) ? location.href : undefined;
  const url = new URL(broker ?? served ?? new URL("/", page ?? SCRIPT), page);
  url.protocol = url.protocol.replace(/^ws/, "http");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  url.search = url.hash = "";
  return url;
}

/** The connection to a broker; the first who asks decides on its options. */
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
