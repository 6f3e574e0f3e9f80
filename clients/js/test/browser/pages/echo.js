// A page or worker that opens a channel as soon as it is there, as its query says, and remembers what it hears.
const { broker, options, connection: choices } = JSON.parse(new URLSearchParams(location.search).get("set"));
const connection = Widecast.connect(broker, choices);
const channels = [];
let worker;

self.another = (options) => {
  const channel = new Widecast.WidecastChannel("news", { ...options, broker: connection });
  const heard = [];
  channel.onmessage = ({ data }) => heard.push(data);
  return channels.push({ channel, heard }) - 1;
};
self.ready = (index = 0) => channels[index].channel.ready;
self.heardBy = (index = 0) => channels[index].heard;

/** Posts 0, 1 …, and does something at once. */
self.postAnd = (count, then) => {
  for (let i = 0; i < count; i++) channels[0].channel.postMessage(base + i);
  if (then === "reload") location.reload();
  else if (then === "navigate") location.search += "&again";
  else if (then === "open") open(location.href);
  else if (then === "frame") document.body.append(Object.assign(document.createElement("iframe"), { src: location.href }));
};
/** The second tab's numbers begin here. */
let base = 0;
let isEnough = false;
self.stop = () => void (isEnough = true);
self.postUntil = async (first) => {
  for (let i = first; ; i++) {
    if (isEnough) return i;
    channels[0].channel.postMessage(base + i);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
self.inWorker = () => {
  const isNew = !worker;
  worker ??= new Worker(`/echo_worker.js${location.search}`);
  return new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    if (!isNew) worker.postMessage("");
  });
};
self.number = (from) => void (base = from);
if (typeof WorkerGlobalScope !== "undefined") {
  self.onmessage = () => self.ready().then(() => postMessage(self.heardBy()));
  postMessage("open");
}
self.another(options);
