// What web-platform-tests assert of BroadcastChannel (webmessaging/broadcastchannel/), in words of our own. Runs in pages,
// frames and workers, on the native object and on ours.

/** Runs the tests on a BroadcastChannel; returns what failed. */
export async function run(Channel, tests = TESTS) {
  const failures = [];
  for (const [name, test] of Object.entries(tests)) {
    const opened = [];
    const channel = `${name} ${Math.random()}`;
    const open = (...own) => {
      const opening = new Channel(...(own.length ? own : [channel]));
      opened.push(opening);
      return opening;
    };
    try {
      let timer;
      const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("too late")), 10_000)));
      await Promise.race([test(open, Channel, channel), late]);
      clearTimeout(timer);
    } catch (error) {
      failures.push(`${name}: ${error?.stack ?? error}`);
    }
    for (const each of opened) each.close();
  }
  return failures;
}

export function equal(actual, expected, what = "") {
  const same = Array.isArray(expected)
    ? Array.isArray(actual) && actual.length === expected.length && expected.every((each, i) => Object.is(each, actual[i]))
    : Object.is(actual, expected);
  if (!same) throw new Error(`${what}: ${JSON.stringify(actual)} is not ${JSON.stringify(expected)}`);
}

export function throws(action, expected) {
  try {
    action();
  } catch (error) {
    if (typeof expected === "string") equal(`${error instanceof DOMException} ${error.name}`, `true ${expected}`);
    else equal(error instanceof expected, true, `${error} instanceof ${expected.name}`);
    return;
  }
  throw new Error("nothing was thrown");
}

/** The next event on a channel. */
export const next = (channel, type = "message") =>
  new Promise((resolve) => channel.addEventListener(type, resolve, { once: true }));

/** Waits until it is so: as long as a test may take. */
export async function until(isSo) {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Long enough for what was posted to arrive. */
export const settled = () => new Promise((resolve) => setTimeout(resolve, 200));

const TESTS = {
  "a name is needed"(open, Channel) {
    throws(() => new Channel(), TypeError);
    throws(() => Channel("x"), TypeError);
    throws(() => open(Symbol("x")), TypeError);
  },
  async "an event whose data is undefined looks like any other"(open) {
    const [from, to] = [open(), open()];
    from.postMessage(undefined);
    const event = await next(to);
    equal(event.data, undefined);
    const names = [];
    for (const name in event) names.push(name);
    const like = new MessageEvent("message");
    const expected = [];
    for (const name in like) expected.push(name);
    equal(names.sort(), expected.sort());
    equal(Object.getOwnPropertyNames(event), Object.getOwnPropertyNames(like));
    equal([event instanceof MessageEvent, event.constructor], [true, MessageEvent]);
  },
  "a name is converted to a string"(open) {
    for (const [name, text] of [
      [null, "null"],
      [undefined, "undefined"],
      ["fooBar", "fooBar"],
      [123, "123"],
      ["", ""],
      [{ toString: () => "o" }, "o"],
    ]) {
      equal(open(name).name, text);
    }
    const channel = open();
    // In strict mode, as modules are.
    throws(() => (channel.name = "other"), TypeError);
  },
  "it has the interface of a BroadcastChannel"(open, Channel) {
    const channel = open();
    equal(channel instanceof EventTarget, true);
    equal([channel.onmessage, channel.onmessageerror], [null, null]);
    equal([Channel.length, Channel.prototype.postMessage.length, Channel.prototype.close.length], [1, 1, 0]);
    for (const name of ["name", "onmessage", "onmessageerror"]) {
      equal(typeof Object.getOwnPropertyDescriptor(Channel.prototype, name).get, "function", name);
      throws(() => Channel.prototype[name], TypeError);
    }
  },
  "something has to be posted"(open) {
    throws(() => open().postMessage(), TypeError);
    equal(open().postMessage(null), undefined);
    equal(open().postMessage(undefined), undefined);
  },
  "closing twice is harmless"(open) {
    const channel = open();
    equal(channel.close(), undefined);
    equal(channel.close(), undefined);
  },
  "a closed channel cannot post"(open) {
    const channel = open();
    channel.close();
    throws(() => channel.postMessage(""), "InvalidStateError");
    throws(() => channel.postMessage(Symbol()), "InvalidStateError");
    throws(() => channel.postMessage(), TypeError);
  },
  "what cannot be cloned throws at once"(open) {
    const channel = open();
    for (const value of [Symbol(), () => {}, { deep: [Symbol()] }, new WeakSet(), new Proxy({}, {})]) {
      throws(() => channel.postMessage(value), "DataCloneError");
    }
    throws(
      () =>
        channel.postMessage({
          get x() {
            throw new RangeError("own");
          },
        }),
      RangeError,
    );
  },
  "a handler keeps the place where it was first set"(open) {
    const channel = open();
    const called = [];
    const add = (name) => channel.addEventListener("message", () => called.push(name));
    add(1);
    channel.onmessage = () => called.push("old");
    add(2);
    channel.onmessage = function (event) {
      called.push(this === channel && event.currentTarget === channel);
    };
    channel.dispatchEvent(new Event("message"));
    equal(called, [1, true, 2]);
    channel.onmessage = null;
    channel.onmessage = "no handler";
    equal(channel.onmessage, null);
    channel.onmessage = () => called.push("last");
    called.length = 0;
    channel.dispatchEvent(new Event("message"));
    equal(called, [1, 2, "last"]);
    const object = { handleEvent: () => called.push("object") };
    channel.onmessage = object;
    equal(channel.onmessage === object, true);
    called.length = 0;
    channel.dispatchEvent(new Event("message"));
    equal(called, [1, 2]);
    channel.onmessage = () => false;
    equal(channel.dispatchEvent(new Event("message", { cancelable: true })), false);
  },
  async "a message is a MessageEvent"(open) {
    const [one, two] = [open(), open()];
    const heard = new Promise((resolve) => (two.onmessage = resolve));
    one.postMessage("hello world");
    const event = await heard;
    equal(event instanceof MessageEvent, true);
    equal(
      [event.target === two, event.type, event.data, event.origin, event.source],
      [true, "message", "hello world", self.origin, null],
    );
    equal([event.ports.length, event.bubbles, event.cancelable, event.lastEventId], [0, false, false, ""]);
  },
  async "messages are delivered in the order of creation"(open) {
    const [c1, c2, c3] = [open(), open(), open()];
    const events = [];
    const done = new Promise((resolve) => {
      const handler = ({ target, data }) => {
        events.push(`${[c1, c2, c3].indexOf(target) + 1} ${data}`);
        if (events.length === 6) resolve();
      };
      c1.onmessage = c2.onmessage = c3.onmessage = handler;
    });
    c1.postMessage("from c1");
    c3.postMessage("from c3");
    c2.postMessage("done");
    await done;
    equal(events, ["2 from c1", "3 from c1", "1 from c3", "2 from c3", "1 done", "3 done"]);
  },
  async "a closed channel hears nothing"(open) {
    const [c1, c2, c3] = [open(), open(), open()];
    let heard = 0;
    c2.onmessage = () => heard++;
    c2.close();
    c1.postMessage("test");
    await next(c3);
    equal(heard, 0);
  },
  async "a channel closed after the post hears nothing"(open) {
    const [c1, c2, c3] = [open(), open(), open()];
    let heard = 0;
    c2.onmessage = () => heard++;
    c1.postMessage("test");
    c2.close();
    await next(c3);
    equal(heard, 0);
  },
  async "channels may be closed and created while a message is delivered"(open) {
    const [c1, c2] = [open(), open()];
    const done = new Promise((resolve, reject) => {
      c2.onmessage = ({ data }) => {
        if (data !== "first") reject(new Error(data));
        c2.close();
        open().onmessage = (event) => resolve(event.data);
        c1.postMessage("done");
      };
    });
    c1.postMessage("first");
    c2.postMessage("second");
    equal(await done, "done");
  },
  async "closing in a handler keeps what is queued from being heard"(open) {
    const [c1, c2, c3] = [open(), open(), open()];
    const events = [];
    c1.onmessage = ({ data }) => events.push(`c1 ${data}`);
    c2.onmessage = ({ data }) => events.push(`c2 ${data}`);
    c3.onmessage = ({ data }) => events.push(`c3 ${data}`);
    c2.addEventListener("message", () => c2.close());
    const done = new Promise((resolve) => c3.addEventListener("message", ({ data }) => data === "done" && resolve()));
    c1.postMessage("first");
    c1.postMessage("done");
    await done;
    equal(events, ["c2 first", "c3 first", "c3 done"]);
  },
  async "every receiver has a copy of its own, as it was when it was posted"(open) {
    const [one, two, three] = [open(), open(), open()];
    const both = Promise.all([next(two), next(three)]);
    const value = { list: [1] };
    one.postMessage(value);
    value.list.push(2);
    const [a, b] = await both;
    equal(a.data.list, [1]);
    equal(a.data !== value && a.data !== b.data, true);
  },
  async "getters are called once"(open) {
    const [one, two] = [open(), open()];
    const heard = next(two);
    let calls = 0;
    one.postMessage({
      get count() {
        return ++calls;
      },
    });
    equal([(await heard).data.count, calls], [1, 1]);
  },
  async "other names hear nothing"(open, _, channel) {
    const [one, other, same] = [open(), open(`${channel}x`), open()];
    let heard = 0;
    other.onmessage = () => heard++;
    one.postMessage(1);
    await next(same);
    await settled();
    equal(heard, 0);
  },
  async "a channel does not hear itself"(open) {
    const [one, two] = [open(), open()];
    let heard = 0;
    one.onmessage = () => heard++;
    one.postMessage(1);
    await next(two);
    await settled();
    equal(heard, 0);
  },
  async "blobs work, also when nobody keeps them"(open) {
    const [c1, c2, c3] = [open(), open(), open()];
    const heard = Promise.all([next(c2), next(c3)]);
    (() => c1.postMessage({ blob: new Blob(["foo", "bar"]) }))();
    self.gc?.();
    for (const { data } of await heard) {
      equal([data.blob instanceof Blob, data.blob.size, await data.blob.text()], [true, 6, "foobar"]);
    }
  },
  async "posts in one task are heard in order, blobs among them"(open) {
    const [one, two] = [open(), open()];
    const heard = [];
    const done = new Promise((resolve) => (two.onmessage = ({ data }) => heard.push(data?.size ?? data) === 20 && resolve()));
    for (let i = 0; i < 20; i++) one.postMessage(i % 5 ? i : new Blob(["x".repeat(i)]));
    await done;
    equal(
      heard,
      Array.from({ length: 20 }, (_, i) => i),
    );
  },
  async "a message is heard before a timer that was set before it was due"(open) {
    const [one, two] = [open(), open()];
    const order = [];
    const heard = new Promise((resolve) => (two.onmessage = () => resolve(order.push("message"))));
    one.postMessage(1);
    setTimeout(() => order.push("timer"), 1000);
    await heard;
    equal(order, ["message"]);
  },
};
