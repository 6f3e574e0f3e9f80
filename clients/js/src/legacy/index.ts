/** The global `Widecast` of old browsers: channels and image pings. */
import { setUp } from "./channel.js";
import { type Connection, createConnection, type Options } from "./connection.js";
import { randomName } from "./random.js";

interface ChannelOptions extends Options {
  /** The broker's address; by default the server that the script came from, if it was a broker, else that of the page. */
  broker?: string;
}

/** The running script is the last one so far, unless it was made to run later. */
var scripts = document.getElementsByTagName("script");
var running = (document.currentScript as HTMLScriptElement | null) || scripts[scripts.length - 1];
var served = /^(.*\/)client\/widecast[\w.]*js([?#].*)?$/.exec((running && running.src) || "");

var connections: Record<string, Connection> = {};

/** The connection to a broker; the first call decides on its options. */
function connectionTo(options: ChannelOptions): Connection {
  var link = document.createElement("a");
  link.href = options.broker || (served ? served[1]! : "/");
  // As an absolute address, with a slash at its end.
  var base = link.href.replace(/[?#].*$/, "").replace(/\/?$/, "/");
  var present = connections[base];
  return present && present.state !== "closed" ? present : (connections[base] = createConnection(base, options));
}

function WidecastChannel(this: object, name: unknown, options?: ChannelOptions): void {
  if (!arguments.length) throw new TypeError("WidecastChannel needs a name");
  setUp(this, String(name), connectionTo(options || {}));
}

/** Publishes a short text without waiting for anything, as an image: also while the page goes away. */
function ping(channel: string, text: string, options?: ChannelOptions): void {
  var image = new Image();
  pings.push(image);
  image.onload = image.onerror = () => pings.splice(pings.indexOf(image), 1);
  var path = "channels/" + encodeURIComponent(channel) + "/publish.gif";
  // No cache may answer it.
  image.src = connectionTo(options || {}).address(path, { data: text, r: randomName(8) });
}

/** A browser may forget an image that nobody holds before it has asked for it. */
var pings: HTMLImageElement[] = [];

(window as never as { Widecast: object }).Widecast = { WidecastChannel: WidecastChannel, ping: ping };
