// Any kind of worker: runs a suite and sends what failed to whoever asked.
if (!self.Widecast) self.importScripts("/client/widecast.iife.js", "/channel.js");

const answer = async ({ data: suite }, port) => {
  try {
    const { suites } = self.suites ? self : await import("/suites.js");
    port.postMessage(await suites[suite]());
  } catch (error) {
    port.postMessage([String(error.stack)]);
  }
};

self.onconnect = ({ ports: [port] }) => (port.onmessage = (event) => answer(event, port));
self.onmessage = (event) => {
  const answered = answer(event, event.ports?.[0] ?? self);
  event.waitUntil?.(answered);
};
self.oninstall = () => self.skipWaiting();
self.onactivate = (event) => event.waitUntil(self.clients.claim());
