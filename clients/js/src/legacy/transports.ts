/** The ways to the broker that an old browser has. Each is a session of the envelope protocol in JSON. */
import { type Courier, createCourier, type Means } from "./courier.js";
import { type Done, parse, requestScript, requestText } from "./requests.js";

/** A frame from the broker, with the fields that its `type` has. */
export interface Frame {
  type: string;
  [field: string]: any;
}

/** The address of an endpoint of the broker, with the sender's name. */
export interface Address {
  (path: string, parameters: Record<string, string>): string;
  /** Whether requests to a broker of another origin are sent with the browser's cookies. */
  withCredentials?: boolean;
  /** For how many milliseconds the broker does not want to be asked again. */
  wait?: number;
}

/** Hears a transport, which tells nothing while it is being opened. */
export interface Listener {
  /** Frames have come; none is a sign of life. */
  frames(frames: Frame[]): void;
  /** It has ended; `delay` says when to come back, if it was not for trouble. */
  closed(reason: string, delay?: number): void;
}

export interface Transport {
  /** Whether a command is small enough for it. */
  fits(command: string): boolean;
  /** Sends commands, in this order and after all before. */
  send(commands: string[]): void;
  /** Ends it; the listener may still be told, and must not listen. */
  close(): void;
}

/** How many characters of a stream are read before it is begun anew: the browser keeps all of them. */
var STREAM_LENGTH = 2e6;
/** How many characters of commands go into one body, and, as they stand in a URL, into one of 8000. */
var BODY_LENGTH = 2e6;
var URL_LENGTH = 7600;

/** Commands by POST. */
function posting(address: Address): Means {
  return {
    most: BODY_LENGTH,
    lengthOf: (command) => command.length,
    carry: (session, commands, done) => requestText("POST", address, "v1/sessions/" + session + "/commands", {}, done, commands),
  };
}

/** Commands in URLs. */
function scripting(address: Address): Means {
  return {
    most: URL_LENGTH,
    lengthOf: (command) => encodeURIComponent(command).length,
    carry: (session, commands, done) =>
      requestScript(address, "v1/sessions/" + session + "/commands", { commands: commands }, done),
  };
}

/** XMLHttpRequest with `readyState` 3: one JSON frame a line. */
function openStream(address: Address, listener: Listener): Transport {
  var courier = createCourier(posting(address), listener.closed);
  var isClosed = false;
  var at = 0;
  var progress = (text: string): void => {
    for (var end = 0; !isClosed && (end = text.indexOf("\n", at)) >= 0; ) {
      var frame: Frame | undefined = parse(text.slice(at, end));
      at = end + 1;
      if (frame && frame.type === "welcome") courier.open(frame["session"]);
      listener.frames(frame ? [frame] : []);
    }
    if (at > STREAM_LENGTH) listener.closed("renewed", 0);
  };
  var done: Done = (error) => listener.closed(error || "the stream ended");
  var abort = requestText("GET", address, "v1/stream", { session: "new" }, done, undefined, progress);
  return opened(courier, () => {
    isClosed = true;
    abort();
  });
}

/** Polls: each answer says how far the frames go, and the next poll that they arrived. */
function openPolls(listener: Listener, means: Means, ask: (parameters: Record<string, string>, done: Done) => void): Transport {
  var courier = createCourier(means, listener.closed);
  var isClosed = false;
  var next = (parameters: Record<string, string>): void => {
    ask(parameters, (error, answer) => {
      if (isClosed) return;
      if (error || !answer) return listener.closed(error || "no answer");
      courier.open(answer.session);
      listener.frames(answer.frames);
      // The answer without frames is a heartbeat.
      if (!isClosed) next({ session: answer.session, cursor: answer.cursor, timeout: "20" });
    });
  };
  next({ session: "new" });
  return opened(courier, () => (isClosed = true));
}

function openPoll(address: Address, listener: Listener): Transport {
  var abort: () => void;
  var ask = (parameters: Record<string, string>, done: Done): void => {
    abort = requestText("GET", address, "v1/poll", parameters, (error, text) => done(error, error || parse(text)));
  };
  return opened(openPolls(listener, posting(address), ask), () => abort());
}

function openScripts(address: Address, listener: Listener): Transport {
  return openPolls(listener, scripting(address), (parameters, done) => {
    // A script that waits for its answer would keep the page from being loaded.
    var isLoaded = document.readyState === "complete";
    if (!isLoaded) parameters["timeout"] = "0";
    setTimeout(() => requestScript(address, "v1/poll", parameters, done), isLoaded ? 0 : 300);
  });
}

function opened(inner: Courier | Transport, end: () => void): Transport {
  return {
    fits: inner.fits,
    send: inner.send,
    close: () => {
      end();
      inner.close();
    },
  };
}

/** Every transport, the best first, and how it is opened. */
export var TRANSPORTS: Record<string, (address: Address, listener: Listener) => Transport> = {
  stream: openStream,
  poll: openPoll,
  jsonp: openScripts,
};
