// Live notifications with what every browser has: EventSource to hear, fetch to publish.
const find = (id) => document.getElementById(id);
const channel = "/channels/demos:notifications";

const source = new EventSource(`${channel}/sse`);
source.onopen = () => (find("status").dataset.state = "open");
source.onerror = () => (find("status").dataset.state = source.readyState === EventSource.CLOSED ? "closed" : "waiting");

// A message that was published with ?event=NAME is an event of this name.
let heardAt = 0;
let told = "";
let patience = 0;
source.addEventListener("time", (event) => {
  heardAt = Date.now();
  if (event.data !== told) patience = 1500 + 2000 * Math.random(); // somebody else tells it
  find("clock").textContent = new Date(Number(event.data)).toTimeString().slice(0, 8);
  wire(event);
});
source.addEventListener("notification", (event) => {
  item(event);
  wire(event);
});
source.addEventListener("alert", (event) => {
  find("alarm").hidden = false;
  find("alarm-text").textContent = event.data;
  item(event);
  wire(event);
});

function publish(event, text) {
  return fetch(`${channel}/messages?event=${event}`, { method: "POST", headers: { "Content-Type": "text/plain" }, body: text });
}

find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  publish(event.submitter.value, find("text").value);
});
find("dismiss").addEventListener("click", () => (find("alarm").hidden = true));

// Somebody has to tell the time: of all tabs of this browser the one that gets the lock, unless another browser does it.
// When two do, both stop, and who has less patience goes on.
navigator.locks?.request("demos:time", () => new Promise(() => {
  setInterval(() => {
    if (Date.now() - heardAt < patience) return;
    patience = 500;
    told = String(Date.now());
    publish("time", told).catch(() => {}); // no network: the next second
  }, 1000);
}));

// From here on: how it looks.
function item({ type, data }) {
  const item = find("item").content.firstElementChild.cloneNode(true);
  item.classList.add(type);
  item.querySelector("b").textContent = type;
  item.querySelector("time").textContent = new Date().toTimeString().slice(0, 8);
  item.querySelector(".text").textContent = data;
  find("feed").prepend(item);
  find("nothing").hidden = true;
}

const lines = [];
function wire({ type, data, lastEventId }) {
  lines.unshift(`id: ${lastEventId}\nevent: ${type}\ndata: ${data}\n\n`);
  lines.length = Math.min(lines.length, 3);
  find("wire").textContent = lines.join("");
}

find("curl").textContent = `curl -H 'Content-Type: text/plain' \\\n  -d 'Hello from a terminal' \\\n  '${location.origin}${channel}/messages?event=alert'`;
