/**
 * The connection to a broker that the channels of a page share: takes the first transport that gets through, and after every
 * end of it joins the channels again, each from where it was heard, and sends again the posts that the broker has not confirmed.
 */
import { dial, SILENCE } from "./dial.js";
import { randomName } from "./random.js";
import { type Address, type Frame, TRANSPORTS, type Transport } from "./transports.js";
import { fail } from "./values.js";

export interface Options {
  /** The transports to use, the one to prefer first. */
  transports?: string[];
  /** Whether a page of another origin than the broker's sends the broker its cookies. */
  withCredentials?: boolean;
  /** The longest wait before the first attempt to connect again, in milliseconds; doubled with each further one. */
  minDelay?: number;
  /** The longest wait before any attempt. */
  maxDelay?: number;
  /** How long a transport may take to bring the broker's welcome. */
  connectTimeout?: number;
  /** How long to stay connected when no channel is open. */
  idleTimeout?: number;
  /** How many posts may wait for the broker. */
  queueMessages?: number;
  /** How many characters of JSON they may have together. */
  queueBytes?: number;
}

/** Listens to a channel. */
export interface Ear {
  /** A message, and its data, which are the listener's own. */
  message(data: any, frame: Frame): void;
  /** Messages were lost; the channel goes on after the cursor. */
  gap(cursor: string): void;
  status(reason: string): void;
}

/** A channel, and how far it was heard. */
interface Subscription {
  channel: string;
  ears: Ear[];
  cursor?: string;
  /** The broker has confirmed it, on the present connection. */
  isJoined: boolean;
}

/** A command that the broker has not answered: it is given again on every new connection. */
interface Pending {
  id: number;
  json: string;
}

export interface Connection {
  readonly address: Address;
  readonly options: Required<Options>;
  state: "idle" | "connecting" | "open" | "waiting" | "closed";
  /** The name of the transport in use. */
  transport?: string | undefined;
  current?: Transport | undefined;
  /** The transport that worked last. */
  favourite?: string | undefined;
  subscriptions: Subscription[];
  outbox: Pending[];
  attempts: number;
  lastId: number;
  timer?: ReturnType<typeof setTimeout>;
  /** Ends the transport in use, or on trial. */
  hangUp?: () => void;
}

var DEFAULTS: Required<Options> = {
  transports: Object.keys(TRANSPORTS),
  withCredentials: false,
  minDelay: 1000,
  maxDelay: 30000,
  connectTimeout: 4000,
  idleTimeout: 5000,
  queueMessages: 1000,
  queueBytes: 4e6,
};

export function createConnection(base: string, options: Options): Connection {
  var all = Object.create(DEFAULTS);
  Object.keys(options).forEach((name) => (all[name] = (options as any)[name]));
  var sender = randomName(32);
  var address: Address = (path, parameters) => {
    var query = Object.keys(parameters).map((name) => name + "=" + encodeURIComponent(parameters[name]!) + "&");
    return base + path + "?" + query.join("") + "sender=" + sender;
  };
  address.withCredentials = all.withCredentials;
  var link: Connection = {
    address: address,
    options: all,
    state: "idle",
    subscriptions: [],
    outbox: [],
    attempts: 0,
    lastId: 0,
  };
  window.addEventListener("online", () => link.state === "waiting" && open(link));
  return link;
}

export function subscriptionOf(link: Connection, channel: string): Subscription | undefined {
  return link.subscriptions.filter((subscription) => subscription.channel === channel)[0];
}

export function join(link: Connection, channel: string, ear: Ear): void {
  var subscription = subscriptionOf(link, channel);
  if (!subscription) {
    subscription = { channel: channel, ears: [], isJoined: false };
    link.subscriptions.push(subscription);
    if (link.current) link.current.send([subscribe(subscription)]);
  }
  subscription.ears.push(ear);
  wake(link);
}

export function leave(link: Connection, channel: string, ear: Ear): void {
  var subscription = subscriptionOf(link, channel)!;
  subscription.ears = subscription.ears.filter((other) => other !== ear);
  if (subscription.ears.length) return;
  link.subscriptions = link.subscriptions.filter((other) => other !== subscription);
  if (link.current) link.current.send([JSON.stringify({ type: "unsubscribe", channel: channel })]);
  rest(link);
}

/**
 * Publishes JSON: to the others of the page at once, to everybody else as soon as the broker can be reached. Throws a
 * QuotaExceededError when too much waits for that.
 */
export function publish(link: Connection, channel: string, json: string, from: Ear): void {
  var length = link.outbox.reduce((sum, pending) => sum + pending.json.length, json.length);
  var isFull = link.outbox.length >= link.options.queueMessages || (link.outbox.length && length > link.options.queueBytes);
  if (isFull) fail("QuotaExceededError", "more waits than queueMessages or queueBytes allows");
  var id = ++link.lastId;
  var head = JSON.stringify({ type: "publish", id: id, channel: channel, message_id: randomName(16) });
  var pending = { id: id, json: head.slice(0, -1) + ',"data":' + json + "}" };
  link.outbox.push(pending);
  var here = subscriptionOf(link, channel)!.ears.filter((ear) => ear !== from);
  setTimeout(() =>
    here.forEach((ear) => ear.message(JSON.parse(json), { type: "message", origin: location.protocol + "//" + location.host })),
  );
  if (link.current) send(link, [pending]);
  wake(link);
}

/** Connects, if it is not connected. */
function wake(link: Connection): void {
  if (link.state === "idle") open(link);
}

/** Ends the connection after a while without need. */
function rest(link: Connection): void {
  if (isNeeded(link)) return;
  setTimeout(() => {
    if (isNeeded(link) || link.state !== "open") return;
    drop(link);
    link.state = "idle";
  }, link.options.idleTimeout);
}

function isNeeded(link: Connection): number {
  return link.subscriptions.length + link.outbox.length;
}

function open(link: Connection): void {
  clearTimeout(link.timer);
  // A script does not say which page asks for it. Pages of opaque origins, which the broker refuses, are not to get around that.
  var names = link.options.transports.filter((name) => name in TRANSPORTS && (name !== "jsonp" || window.origin !== "null"));
  // Scripts are for where nothing else gets through, also when they were the last that did.
  if (link.favourite && link.favourite !== "jsonp")
    names = [link.favourite].concat(names.filter((name) => name !== link.favourite));
  to(link, "connecting", "");
  attempt(link, names, "");
}

/** Tries one transport after the other. */
function attempt(link: Connection, names: string[], reasons: string): void {
  var name = names[0];
  // All transports lead to the same broker: what it says of when to come back holds for all.
  if (!name || link.address.wait) return wait(link, "no transport gets through:" + reasons);
  link.hangUp = dial(name, link.address, link.options.connectTimeout, {
    welcomed: (transport) => {
      link.current = transport;
      link.transport = link.favourite = name;
      link.attempts = 0;
      to(link, "open", "");
      transport.send(link.subscriptions.map(subscribe));
      send(link, link.outbox);
    },
    frame: (frame) => heard(link, frame),
    ended: (reason, delay) => {
      if (!link.current) return attempt(link, names.slice(1), reasons + " " + name + ": " + reason + ";");
      // A transport that has brought the welcome and then nothing more is held up on the way: the next one may not be.
      if (reason === SILENCE) link.favourite = names[1];
      lost(link, reason, delay);
    },
  });
}

/** Ends the transport. */
function drop(link: Connection): void {
  link.hangUp!();
  link.current = link.transport = undefined;
  link.subscriptions.forEach((subscription) => (subscription.isJoined = false));
}

function lost(link: Connection, reason: string, delay?: number): void {
  drop(link);
  wait(link, reason, delay);
}

/**
 * Waits before the next attempt: full jitter, so that clients that lost their broker together do not come back together; but at
 * least as long as the broker asks for.
 */
function wait(link: Connection, reason: string, delay?: number): void {
  var longest = Math.min(link.options.maxDelay, link.options.minDelay * Math.pow(2, link.attempts++));
  if (delay === undefined) delay = Math.random() * longest;
  link.timer = setTimeout(() => open(link), Math.max(delay, link.address.wait || 0));
  link.address.wait = 0;
  to(link, "waiting", reason);
}

function to(link: Connection, state: Connection["state"], reason: string): void {
  link.state = state;
  report(link, reason);
}

function report(link: Connection, reason: string): void {
  link.subscriptions.forEach((subscription) => each(subscription, (ear) => ear.status(reason)));
}

function each(subscription: Subscription, tell: (ear: Ear, place: number) => void): void {
  subscription.ears.slice().forEach(tell);
}

function subscribe(subscription: Subscription): string {
  return JSON.stringify({ type: "subscribe", channel: subscription.channel, cursor: subscription.cursor });
}

/** Sends the posts that the transport can carry, and gives up those that it never can. */
function send(link: Connection, pendings: Pending[]): void {
  var transport = link.current!;
  var fitting = pendings.filter((pending) => {
    if (transport.fits(pending.json)) return true;
    answered(link, pending.id);
    report(link, "message_too_large: " + pending.json.length + " characters do not go by " + link.transport);
    return false;
  });
  transport.send(fitting.map((pending) => pending.json));
}

function answered(link: Connection, id: number): void {
  link.outbox = link.outbox.filter((pending) => pending.id !== id);
  rest(link);
}

function heard(link: Connection, frame: Frame): void {
  var subscription = frame.channel === undefined ? undefined : subscriptionOf(link, frame.channel);
  if (frame.type === "message" && subscription) message(subscription, frame);
  else if ((frame.type === "subscribed" || frame.type === "gap") && subscription) begin(subscription, frame);
  else if (frame.type === "published") {
    // The broker does not send posts back: a post that comes next moves the cursor as a message does.
    if (subscription && subscription.cursor === frame["epoch"] + "-" + (frame["offset"] - 1))
      subscription.cursor = frame["epoch"] + "-" + frame["offset"];
    answered(link, frame["id"]);
  } else if (frame.type === "error") refused(link, frame);
  else if (frame.type === "goodbye") {
    if (frame["reconnect"]) return lost(link, frame["reason"], frame["reconnect_after_ms"] || 0);
    drop(link);
    to(link, "closed", frame["code"] + ": " + frame["reason"]);
  }
}

/** A message; one that was heard before the connection was lost is not heard again. */
function message(subscription: Subscription, frame: Frame): void {
  var place = (subscription.cursor || "").split("-");
  if (place[0] === frame["epoch"] && frame["offset"] <= Number(place[1])) return;
  subscription.cursor = frame["epoch"] + "-" + frame["offset"];
  var data = frame["data"];
  var json = JSON.stringify(data);
  each(subscription, (ear, place) => ear.message(place ? JSON.parse(json) : data, frame));
}

/** Takes the place where the subscription begins: as asked, or behind the messages that are lost. */
function begin(subscription: Subscription, frame: Frame): void {
  var isGap = frame.type === "gap" || (frame["recovered"] === false && !!subscription.cursor);
  subscription.cursor = frame["cursor"];
  subscription.isJoined = true;
  if (isGap) each(subscription, (ear) => ear.gap(frame["cursor"]));
  each(subscription, (ear) => ear.status(""));
}

function refused(link: Connection, frame: Frame): void {
  var reason = frame["code"] + ": " + frame["message"];
  // It can succeed later: with everything else, on a new connection.
  if (frame["retryable"]) return lost(link, reason, frame["retry_after_ms"]);
  answered(link, frame["id"]);
  report(link, reason);
}
