// A machine of a test: joins one channel, posts, and remembers what it heard. machine.ts says what the parts are for.
const { connect, WidecastChannel } = Widecast;

let broker;
let connection;
let channel;
const heard = [];
const states = [];
let gaps = 0;

const within = async (patience, isSo) => {
  for (const deadline = performance.now() + patience; !isSo() && performance.now() < deadline; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
const status = () => ({ state: connection.state, transport: connection.transport, queued: connection.queued, gaps });
const matches = (wanted) => Object.entries(wanted).every(([name, value]) => status()[name] === value);

self.machine = {
  start(url, options) {
    broker = url;
    const changed = (detail) => states.push({ ...detail, at: performance.now() });
    changed({ state: "connecting" });
    connection = connect(url, options);
    connection.addEventListener("status", ({ detail }) => changed(detail));
  },
  async join(name, options) {
    channel = new WidecastChannel(name, { ...options, broker });
    channel.onmessage = ({ data }) => heard.push(data?.padding === undefined ? data : `${data.from} ${data.number}`);
    channel.addEventListener("gap", () => gaps++);
    await channel.ready;
  },
  async post(from, count, { first = 0, every = 0, padding = 0 } = {}) {
    for (let number = first; number < first + count; number++) {
      channel.postMessage({ from, number, padding: "x".repeat(padding) });
      if (every) await new Promise((resolve) => setTimeout(resolve, every));
    }
  },
  publish(name, data) {
    const sender = new WidecastChannel(name, { broker });
    return sender.publish(data).then(() => "published", String);
  },
  async heard(count, patience = 20_000) {
    await within(patience, () => heard.length >= count);
    // A copy too many would come now.
    await new Promise((resolve) => setTimeout(resolve, 200));
    return heard;
  },
  async until(wanted, patience = 20_000) {
    await within(patience, () => matches(wanted));
    if (!matches(wanted)) throw new Error(`it is ${JSON.stringify(status())}, not ${JSON.stringify(wanted)}`);
  },
  status,
  states: () => states,
  channel: () => channel,
  broker: () => broker,
};
