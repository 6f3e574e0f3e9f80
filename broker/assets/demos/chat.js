// A chat room: names, who is here, who comes and goes, and the last 50 messages for whoever arrives.
import { WidecastChannel } from "/client/widecast.js";

const find = (id) => document.getElementById(id);
const here = new Map(); // who is present: member id → { by, name }
const lines = new Map(); // what is shown: message id → its line
let channel;
let name;

// A name is not a person: two people may choose the same one. Each browser has an id of its own.
const me = (localStorage["widecast-demos.me"] ??= random());

find("name").value = localStorage["widecast-demos.name"] ?? "";
find("entrance").addEventListener("submit", (event) => {
  event.preventDefault();
  name = find("name").value.trim();
  if (name) enter();
});

function enter() {
  localStorage["widecast-demos.name"] = name;
  sessionStorage["widecast-demos.room"] = name; // after a reload this page is still in the room
  channel = new WidecastChannel("demos:chat", { presence: { by: me, name }, history: 50 });
  channel.onmessage = ({ data }) => show(data);
  channel.addEventListener("join", ({ data: member }) => {
    if (!isHere(member.data)) append("joined", member.data);
    here.set(member.id, member.data);
    list();
  });
  channel.addEventListener("leave", ({ data: member }) => {
    here.delete(member.id);
    if (!isHere(member.data)) append("left", member.data);
    list();
  });
  channel.addEventListener("status", ({ detail }) => {
    find("status").dataset.state = detail.state;
    if (detail.state === "open") channel.ready.then(callRoll); // also after every reconnect
  });
  channel.ready.then(() => [...unsent.values()].forEach(send)); // what a reload interrupted
  find("log").replaceChildren();
  lines.clear();
  turn(find("room"), find("entrance"));
  find("text").focus();
}

async function callRoll() {
  const members = await channel.presence();
  here.clear();
  for (const { id, data } of members) here.set(id, data);
  list();
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send({ id: random(), by: me, name, text: find("text").value, at: new Date() });
  find("text").value = "";
});

// What is typed while the network is away waits, and is marked until the broker has it. It survives a reload; should it
// go out twice, everybody shows it once.
const unsent = new Map(JSON.parse(sessionStorage["widecast-demos.unsent"] ?? "[]"));
async function send(message) {
  message.at = new Date(message.at); // a reload has made it a string
  const line = show(message);
  line.classList.add("waiting");
  keep(() => unsent.set(message.id, message));
  await channel.publish(message); // everybody but me
  keep(() => unsent.delete(message.id));
  line.classList.remove("waiting");
}
function keep(change) {
  change();
  sessionStorage["widecast-demos.unsent"] = JSON.stringify([...unsent]);
}

find("leave").addEventListener("click", () => {
  delete sessionStorage["widecast-demos.room"];
  channel.close();
  turn(find("entrance"), find("room"));
  find("name").focus();
});

// Somebody with two windows is one person.
const isHere = (person) => [...here.values()].some(({ by }) => by === person.by);

// From here on: how it looks. What people write goes into the page as text, never as HTML.
function append(template, person, fill = () => {}) {
  const line = find(template).content.firstElementChild.cloneNode(true);
  line.querySelector("b").textContent = person.name;
  line.style.setProperty("--hue", hueOf(person));
  fill(line);
  find("log").append(line);
  find("log").scrollTop = find("log").scrollHeight;
  return line;
}

function show(message) {
  const { id, by, text, at } = message;
  if (!lines.has(id)) {
    lines.set(id, append("message", message, (line) => {
      line.classList.toggle("own", by === me);
      line.querySelector("time").textContent = at.toTimeString().slice(0, 5);
      line.querySelector(".text").textContent = text;
    }));
  }
  return lines.get(id);
}

function list() {
  const people = [...new Map([...here.values()].map((person) => [person.by, person])).values()];
  people.sort((a, b) => a.name.localeCompare(b.name));
  find("count").textContent = people.length;
  find("people").replaceChildren(...people.map((person) => {
    const item = find("person").content.firstElementChild.cloneNode(true);
    item.querySelector("span").textContent = person.name;
    item.querySelector("small").hidden = person.by !== me;
    item.style.setProperty("--hue", hueOf(person));
    return item;
  }));
}

function turn(to, from) {
  to.hidden = false;
  from.hidden = true;
}

function random() {
  return Math.random().toString(36).slice(2);
}

function hueOf({ by }) {
  return ([...by].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7) * 137) % 360;
}

name = sessionStorage["widecast-demos.room"];
if (name) enter();
