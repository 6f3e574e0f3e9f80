// A tab, or a worker, with channels that remember what they hear.
const { connect, WidecastChannel } = Widecast;
let connection;
const channels = {};

self.start = (url, options = {}) => void (connection = connect(url, options));
/** Opens a channel whose connection ends with it. */
self.begin = async (broker) => {
  const channel = new WidecastChannel("brief", { broker });
  channels.brief = { channel };
  await channel.ready;
};
/** A channel that is not remembered. */
self.make = (name) => new WidecastChannel(name, { broker: connection });
self.queued = () => connection.queued;
self.line = () => [connection.state, connection.transport];

/** Opens a channel, and waits until it hears everything. */
self.join = async (name, options = {}, key = name) => {
  self.hear(name, options, key);
  await channels[key].channel.ready;
};
/** Opens a channel. */
self.hear = (name, options = {}, key = name) => {
  const channel = new WidecastChannel(name, { broker: connection, ...options });
  const messages = [];
  const cursors = [];
  const events = [];
  channels[key] = { channel, messages, cursors, events };
  channel.onmessage = ({ data, lastEventId }) => (messages.push(data), cursors.push(lastEventId));
  for (const type of ["gap", "join", "leave"]) channel.addEventListener(type, ({ data }) => events.push([type, data?.data]));
};
self.leave = (key) => channels[key].channel.close();
self.messages = (key) => channels[key].messages;
self.cursors = (key) => channels[key].cursors;
self.events = (key) => channels[key].events;
self.say = (key, data) => channels[key].channel.postMessage(data);
self.publish = (key, data) => channels[key].channel.publish(data);
self.members = async (key) => (await channels[key].channel.presence()).map(({ data }) => data);

/** Does nothing but wait, soon, until its site answers. */
self.hang = () =>
  void setTimeout(() => {
    const request = new XMLHttpRequest();
    request.open("GET", "/hang", false);
    request.send();
  });

/** Posts `who 0`, `who 1`, … so many a second for so many milliseconds. */
self.post = (key, who, rate, duration) => {
  const begin = Date.now();
  const receipts = [];
  const ended = new Promise((resolve) => {
    const timer = setInterval(() => {
      const due = Math.floor((Math.min(Date.now() - begin, duration) * rate) / 1000);
      while (receipts.length < due) receipts.push(channels[key].channel.publish(`${who} ${receipts.length}`));
      if (Date.now() - begin < duration) return;
      clearInterval(timer);
      resolve();
    }, 10);
  });
  self.posted = () => ended.then(() => Promise.all(receipts)).then(() => receipts.length);
};

if (typeof WorkerGlobalScope !== "undefined") {
  self.onmessage = async ({ data: [call, ...values] }) => postMessage(await self[call](...values));
}
