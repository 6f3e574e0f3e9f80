importScripts("/client/widecast.iife.js", "/channel.js");
self.onmessage = ({ data: name }) => {
  const channel = new self.Channel(name);
  channel.onmessage = ({ data }) => data === "done" && self.postMessage([data]);
  channel.postMessage("from worker");
  channel.postMessage({ blob: new Blob(["hello-", "world"]) });
};
