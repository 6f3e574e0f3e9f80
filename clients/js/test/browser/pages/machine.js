// A machine of a test: joins one channel, posts, and remembers what it heard. machine.ts says what the parts are for.
import { hear, machineWith, note } from "/ear.js";

const { connect, WidecastChannel } = Widecast;

let broker;
let connection;
let channel;
let gaps = 0;

const status = () => ({ state: connection.state, transport: connection.transport, queued: connection.queued, gaps });

self.machine = {
  ...machineWith(() => channel, status),
  start(url, options) {
    broker = url;
    note({ state: "connecting" });
    connection = connect(url, options);
    connection.addEventListener("status", ({ detail }) => note(detail));
  },
  async join(name, options) {
    channel = new WidecastChannel(name, { ...options, broker });
    channel.onmessage = hear;
    channel.addEventListener("gap", () => gaps++);
    await channel.ready;
  },
  publish(name, data) {
    const sender = new WidecastChannel(name, { broker });
    return sender.publish(data).then(() => "published", String);
  },
  broker: () => broker,
};
