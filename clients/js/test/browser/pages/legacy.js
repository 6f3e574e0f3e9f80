// A machine of a test, as machine.js has it, with the script for old browsers.
import { hear, machineWith, note, within } from "/ear.js";

const { WidecastChannel, ping } = Widecast;

let settings;
let channel;
let last = { state: "idle", transport: undefined, joined: false };
let gaps = 0;

const status = () => ({ state: last.state, transport: last.transport, queued: 0, gaps });

self.machine = {
  ...machineWith(() => channel, status),
  start(broker, options) {
    settings = { ...options, broker };
  },
  async join(name) {
    channel = new WidecastChannel(name, settings);
    channel.onmessage = hear;
    channel.ongap = () => gaps++;
    channel.addEventListener("status", ({ detail }) => note((last = detail)));
    await within(20_000, () => last.joined);
    if (!last.joined) throw new Error(`not joined: ${JSON.stringify(self.machine.states())}`);
  },
  settings: () => settings,
  ping: (name, text) => ping(name, text, settings),
};
