// Files for everybody. A message has at most 1 MiB, so a file goes in parts; whoever listens puts them together again.
import { WidecastChannel } from "/client/widecast.js";
import { Transfer } from "./transfer.js";

const PART = 256 * 1024;
const MOST = 16 * 1024 * 1024; // the demos' channels remember more than that: a slow receiver resumes and misses nothing
const channel = new WidecastChannel("demos:files");

async function send(file) {
  const id = `${Date.now()}-${Math.random()}`;
  const stop = new AbortController();
  const transfer = new Transfer(file, "sending", () => stop.abort());
  const { name, type, size } = file;
  if (size > MOST) return transfer.end("large");
  const count = Math.ceil(size / PART) || 1;
  try {
    for (let index = 0; index < count; index++) {
      const part = file.slice(index * PART, (index + 1) * PART);
      const onprogress = ({ loaded, total }) => transfer.progress((index + loaded / total) / count);
      await channel.upload({ id, index, count, name, type, size, part }, { onprogress, signal: stop.signal });
    }
    transfer.end("sent", file);
  } catch {
    transfer.end(stop.signal.aborted ? "cancelled" : "failed");
    channel.postMessage({ id, cancelled: true });
  }
}

// Files on their way to here: id → transfer and parts. The parts of a sender come in their order.
const coming = new Map();
channel.onmessage = ({ data: { id, index, count, name, type, size, part, cancelled } }) => {
  if (index === 0) coming.set(id, { transfer: new Transfer({ name, size }, "receiving"), parts: [] });
  if (!coming.has(id)) return; // came in the middle of it
  const { transfer, parts } = coming.get(id);
  if (!cancelled) transfer.progress(parts.push(part) / count);
  if (!cancelled && parts.length < count) return;
  coming.delete(id);
  if (cancelled) transfer.end("cancelled");
  else transfer.end("received", new File(parts, name, { type }));
};
// Parts are missing: the connection was away for longer than the history reaches.
channel.addEventListener("gap", () => {
  for (const { transfer } of coming.values()) transfer.end("failed");
  coming.clear();
});
channel.addEventListener("status", ({ detail }) => (document.getElementById("status").dataset.state = detail.state));

// Chosen, dropped or pasted.
const zone = document.getElementById("zone");
const input = document.getElementById("file");
const sendAll = (files) => [...files].forEach(send);
input.addEventListener("change", () => {
  sendAll(input.files);
  input.value = "";
});
document.addEventListener("paste", ({ clipboardData }) => sendAll(clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault(); // else the browser opens the file
  zone.classList.add("over");
});
for (const end of ["dragleave", "drop"]) document.addEventListener(end, () => zone.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  sendAll(event.dataTransfer.files);
});
