/** A BroadcastChannel that reaches other machines, for browsers that have none. */
import { type Connection, type Ear, join, leave, publish, subscriptionOf } from "./connection.js";
import { fail, read, write } from "./values.js";

type Handler = (event: object) => void;

/** Events with a meaning of their own: a message whose event is called so is a plain message. */
var RESERVED = /^(message|messageerror|join|leave|gap|status|error)$/;

/** Gives a new object the members of a `BroadcastChannel`, and the events `gap` and `status`. */
export function setUp(channel: any, name: string, link: Connection): void {
  // A name that no command can have is refused like a value.
  write(name);
  var handlers: { type: string; handler: Handler }[] = [];
  var isClosed = false;
  var dispatch = (type: string, event: any): void => {
    event.type = type;
    event.target = channel;
    var listening = handlers.filter((entry) => entry.type === type).map((entry) => entry.handler);
    [channel["on" + type] as Handler].concat(listening).forEach((handler) => {
      if (!isClosed && typeof handler === "function") call(channel, handler, event);
    });
  };
  var ear: Ear = {
    message: (data, frame) => {
      var event = frame["event"];
      var lastEventId = frame["epoch"] ? frame["epoch"] + "-" + frame["offset"] : "";
      dispatch(event && !RESERVED.test(event) ? event : "message", {
        data: read(data),
        origin: frame["origin"],
        lastEventId: lastEventId,
      });
    },
    gap: (cursor) => dispatch("gap", { lastEventId: cursor }),
    status: (reason) => {
      var subscription = subscriptionOf(link, name);
      var joined = !!subscription && subscription.isJoined;
      dispatch("status", { detail: { state: link.state, transport: link.transport, reason: reason, joined: joined } });
    },
  };

  channel.name = name;
  channel.onmessage = null;
  channel.addEventListener = (type: string, handler: Handler) => {
    channel.removeEventListener(type, handler);
    handlers.push({ type: type, handler: handler });
  };
  channel.removeEventListener = (type: string, handler: Handler) => {
    handlers = handlers.filter((entry) => entry.type !== type || entry.handler !== handler);
  };
  channel.postMessage = (message: unknown) => {
    if (isClosed) fail("InvalidStateError", "the channel is closed");
    publish(link, name, write(message), ear);
  };
  channel.close = () => {
    if (!isClosed) leave(link, name, ear);
    isClosed = true;
  };
  join(link, name, ear);
}

function call(channel: object, handler: Handler, event: object): void {
  try {
    handler.call(channel, event);
  } catch (error) {
    // It concerns the page, and not the other listeners.
    setTimeout(() => {
      throw error;
    });
  }
}
