// A chat room: names, who is here, who comes and goes, and the last 50 messages for whoever arrives.
import { connect, WidecastChannel } from "/client/widecast.js";

const find = (id) => document.getElementById(id);
const here = new Map(); // who is present: member id → { by, name }
const lines = new Map(); // what is shown: message id → its line
let channel;
let name;

// A name is not a person: two people may choose the same one. Each browser has an id of its own.
const me = (localStorage["widecast-demos.me"] ??= random());

// With a token in the address (`chat.html#token=…`) nobody can speak under another's name: everybody has a channel of their own, in
// which a token lets its owner alone publish, and the name that is shown is that of the channel. The room itself is only for who is here.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const broker = token ? connect(undefined, { token }) : undefined;
const voices = new Map(); // the channel of each person
const heard = new Set(); // who has spoken in the channel of their name: the browsers, with the names

function voiceOf(name) {
  if (!voices.has(name)) {
    const voice = new WidecastChannel(`chat:from:${name}`, { broker, history: 50 });
    voice.onmessage = ({ data }) => hear({ ...data, name });
    voices.set(name, voice);
  }
  return voices.get(name);
}

function hear(message) {
  const isNew = token && !isGenuine(message);
  heard.add(`${message.by} ${message.name}`);
  if (isNew && isHere(message)) append("joined", { by: message.by, name: message.name });
  list();
  if (message.text) show(message);
}

// Whoever is in the room may call themselves as they like. The name is theirs if they have spoken in its channel.
const isGenuine = ({ by, name }) => !token || heard.has(`${by} ${name}`);
const idOf = ({ by, name }) => (token ? name : by);

find("name").value = localStorage["widecast-demos.name"] ?? "";
find("name").readOnly = !!token;
find("entrance").addEventListener("submit", (event) => {
  event.preventDefault();
  name = find("name").value.trim();
  if (name) enter();
});

function enter() {
  localStorage["widecast-demos.name"] = name;
  sessionStorage["widecast-demos.room"] = name; // after a reload this page is still in the room
  const options = token ? { broker } : { history: 50 };
  channel = new WidecastChannel(token ? "chat:room" : "demos:chat", { presence: { by: me, name }, ...options });
  channel.onmessage = ({ data }) => hear(data);
  channel.addEventListener("join", ({ data: member }) => {
    if (!isHere(member.data) && isGenuine(member.data)) append("joined", member.data);
    add(member);
    list();
  });
  channel.addEventListener("leave", ({ data: member }) => {
    here.delete(member.id);
    if (!isHere(member.data) && isGenuine(member.data)) append("left", member.data);
    list();
  });
  if (token) {
    heard.add(`${me} ${name}`);
    voiceOf(name).publish({ by: me }); // so that the others know who this is
  }
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
  members.forEach(add);
  list();
}

function add({ id, data }) {
  here.set(id, data);
  if (token) voiceOf(data.name);
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
  await (token ? voiceOf(name) : channel).publish(message); // everybody but me
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
  for (const voice of voices.values()) voice.close();
  voices.clear();
  turn(find("entrance"), find("room"));
  find("name").focus();
});

const isMe = (person) => idOf(person) === idOf({ by: me, name });

// Somebody with two windows is one person.
const isHere = (person) => [...here.values()].some((other) => isGenuine(other) && idOf(other) === idOf(person));

// From here on: how it looks. What people write goes into the page as text, never as HTML.
function append(template, person, fill = () => {}) {
  const line = find(template).content.firstElementChild.cloneNode(true);
  line.querySelector("b").textContent = person.name;
  line.style.setProperty("--hue", hueOf(person));
  fill(line);
  // What somebody has said before comes from their own channel, behind what others have said since.
  const later = token && [...find("log").children].find((other) => other.dataset.at > person.at?.toISOString());
  if (person.at) line.dataset.at = person.at.toISOString();
  find("log").insertBefore(line, later || null);
  find("log").scrollTop = find("log").scrollHeight;
  return line;
}

function show(message) {
  const { id, text, at } = message;
  if (!lines.has(id)) {
    lines.set(id, append("message", message, (line) => {
      line.classList.toggle("own", isMe(message));
      line.querySelector("time").textContent = at.toTimeString().slice(0, 5);
      line.querySelector(".text").textContent = text;
    }));
  }
  return lines.get(id);
}

function list() {
  const people = [...new Map([...here.values()].filter(isGenuine).map((person) => [idOf(person), person])).values()];
  people.sort((a, b) => a.name.localeCompare(b.name));
  find("count").textContent = people.length;
  find("people").replaceChildren(...people.map((person) => {
    const item = find("person").content.firstElementChild.cloneNode(true);
    item.querySelector("span").textContent = person.name;
    item.querySelector("small").hidden = !isMe(person);
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

function hueOf(person) {
  return ([...idOf(person)].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7) * 137) % 360;
}

name = token ? userOf(token) : sessionStorage["widecast-demos.room"];
if (name) enter();

// Whom a token is for, as the broker reads it, too.
function userOf(token) {
  const payload = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (letter) => letter.charCodeAt(0)))).sub;
}
