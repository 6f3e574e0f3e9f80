// A machine of a test, as machine.js has it, with the script for old browsers.
const { WidecastChannel, ping } = Widecast;

let settings;
let channel;
let last = { state: "idle", transport: undefined, joined: false };
const heard = [];
const states = [];
let gaps = 0;

const within = async (patience, isSo) => {
  for (const deadline = performance.now() + patience; !isSo() && performance.now() < deadline; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
const status = () => ({ state: last.state, transport: last.transport, queued: 0, gaps });
const matches = (wanted) => Object.entries(wanted).every(([name, value]) => status()[name] === value);

self.machine = {
  start(broker, options) {
    settings = { ...options, broker };
  },
  async join(name) {
    channel = new WidecastChannel(name, settings);
    channel.onmessage = ({ data }) => heard.push(data?.padding === undefined ? data : `${data.from} ${data.number}`);
    channel.ongap = () => gaps++;
    channel.addEventListener("status", ({ detail }) => states.push({ ...(last = detail), at: performance.now() }));
    await within(20_000, () => last.joined);
    if (!last.joined) throw new Error(`not joined: ${JSON.stringify(states)}`);
  },
  async post(from, count, { first = 0, every = 0, padding = 0 } = {}) {
    for (let number = first; number < first + count; number++) {
      channel.postMessage({ from, number, padding: "x".repeat(padding) });
      if (every) await new Promise((resolve) => setTimeout(resolve, every));
    }
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
  settings: () => settings,
  ping: (name, text) => ping(name, text, settings),
};
