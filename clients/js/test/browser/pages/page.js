import { equal, next, run, settled, until } from "/battery.js";
import { suites } from "/suites.js";

const { search } = location;

/** Asks a worker for a suite. */
const ask = (worker, suite, port = worker) =>
  new Promise((resolve, reject) => {
    port.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(suite, port === worker ? [] : [port.other]);
  });

const frame = async (src, attributes = {}) => {
  const frame = Object.assign(document.createElement("iframe"), { src, ...attributes });
  const loaded = next(frame, "load");
  document.body.append(frame);
  await loaded;
  return frame;
};

const PLACES = {
  page: (suite) => suites[suite](),
  async frame(suite) {
    const { contentWindow } = await frame(location.href);
    return contentWindow.runIn("page", suite);
  },
  worker: (suite) => ask(new Worker(`/worker.js${search}`), suite),
  "module worker": (suite) => ask(new Worker(`/module_worker.js${search}`, { type: "module" }), suite),
  "shared worker"(suite) {
    const { port } = new SharedWorker(`/worker.js${search}`);
    return ask(port, suite);
  },
  async "service worker"(suite) {
    const registration = await navigator.serviceWorker.register(`/module_worker.js${search}`, { type: "module", scope: "/" });
    await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    port1.other = port2;
    const failures = await ask(registration.active, suite, port1);
    await registration.unregister();
    return failures;
  },
};

self.runIn = (place, suite) => PLACES[place](suite);

/** Tests that take more than one context. */
const BETWEEN = {
  async "a worker and its page hear each other, blobs too"(open, _, name) {
    const [one, two] = [open(), open()];
    const heard = [];
    two.onmessage = ({ data }) => heard.push(data.blob?.size ?? data);
    one.onmessage = ({ data }) => data.blob && one.postMessage("done");
    const worker = new Worker(`/peer.js${search}`);
    const answer = next(worker);
    worker.postMessage(name);
    equal((await answer).data, ["done"]);
    await until(() => heard.length >= 3);
    await settled();
    equal(heard, ["from worker", 11, "done"]);
    worker.terminate();
  },
  async "frames of one origin hear each other and say who they are"(open, _, name) {
    const one = open();
    const { contentWindow } = await frame(location.href);
    const other = new contentWindow.Channel(name);
    const heard = next(one);
    other.postMessage({ from: "frame" });
    const { data, origin } = await heard;
    equal([data.from, origin], ["frame", location.origin]);
    const back = next(other);
    one.postMessage("back");
    equal((await back).data, "back");
    other.close();
  },
  async "a frame of another origin hears nothing"(open, _, name) {
    const one = open();
    const url = new URL(location.href);
    url.hostname = "127.0.0.1";
    // Through the broker origins do hear each other: this is about delivery inside the browser.
    if (self.Channel !== self.BroadcastChannel || self.Widecast === undefined) return;
    const { contentWindow } = await frame(String(url));
    contentWindow.postMessage(name, "*");
    let heard = 0;
    one.onmessage = () => heard++;
    await settled();
    equal(heard, 0);
  },
  async "a detached frame neither hears nor is heard"(open, _, name) {
    const one = open();
    const element = await frame(location.href);
    const { contentWindow } = element;
    const before = new contentWindow.Channel(name);
    const FrameChannel = contentWindow.Channel;
    let heard = 0;
    one.onmessage = () => heard++;
    before.onmessage = () => heard++;
    element.remove();
    before.postMessage(1);
    one.postMessage(2);
    const after = new FrameChannel(name);
    after.onmessage = () => heard++;
    after.postMessage(3);
    one.postMessage(4);
    before.close();
    after.close();
    await settled();
    equal(heard, 0);
  },
  async "a sandboxed frame has channels of its own"(open, _, name) {
    const one = open();
    let heard = 0;
    one.onmessage = () => heard++;
    const answer = next(self);
    const { contentWindow } = await frame(`/sandboxed.html${search}`, { sandbox: "allow-scripts" });
    contentWindow.postMessage(name, "*");
    const { data } = await answer;
    equal(data.failures, []);
    equal(data.heard, ["to itself"]);
    await settled();
    // The broker has no part in this: it takes no messages from an opaque origin.
    equal(heard, 0);
  },
};

self.between = () => run(self.Channel, BETWEEN);
