// A chat room: names, who is here, who comes and goes, and the last 50 messages for whoever arrives.
import { WidecastChannel } from "/client/widecast.js";

const find = (id) => document.getElementById(id);
const here = new Map(); // who is present: member id → name
let channel;
let name;

find("name").value = localStorage.getItem("widecast-demos.name") ?? "";
find("entrance").addEventListener("submit", (event) => {
  event.preventDefault();
  name = find("name").value.trim();
  if (name) enter();
});

function enter() {
  localStorage.setItem("widecast-demos.name", name);
  channel = new WidecastChannel("demos:chat", { presence: { name }, history: 50 });
  channel.onmessage = ({ data }) => showMessage(data);
  channel.addEventListener("join", ({ data: member }) => {
    if (!isHere(member.data.name)) append("joined", member.data.name);
    here.set(member.id, member.data.name);
    list();
  });
  channel.addEventListener("leave", ({ data: member }) => {
    here.delete(member.id);
    if (!isHere(member.data.name)) append("left", member.data.name);
    list();
  });
  channel.addEventListener("status", ({ detail }) => {
    find("status").dataset.state = detail.state;
    if (detail.state === "open") channel.ready.then(callRoll); // also after every reconnect
  });
  find("log").replaceChildren();
  turn(find("room"), find("entrance"));
  find("text").focus();
}

async function callRoll() {
  const members = await channel.presence();
  here.clear();
  for (const { id, data } of members) here.set(id, data.name);
  list();
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = { name, text: find("text").value, at: new Date() };
  channel.postMessage(message); // everybody but me; waits for the network if it has to
  showMessage(message);
  find("text").value = "";
});

find("leave").addEventListener("click", () => {
  channel.close();
  turn(find("entrance"), find("room"));
  find("name").focus();
});

// Somebody with two windows is one person.
const isHere = (name) => [...here.values()].includes(name);

// From here on: how it looks. What people write goes into the page as text, never as HTML.
function append(template, name, fill = () => {}) {
  const line = find(template).content.firstElementChild.cloneNode(true);
  line.querySelector("b").textContent = name;
  line.style.setProperty("--hue", hueOf(name));
  fill(line);
  find("log").append(line);
  find("log").scrollTop = find("log").scrollHeight;
}

function showMessage({ name: from, text, at }) {
  append("message", from, (line) => {
    line.classList.toggle("own", from === name);
    line.querySelector("time").textContent = at.toTimeString().slice(0, 5);
    line.querySelector(".text").textContent = text;
  });
}

function list() {
  const names = [...new Set(here.values())].sort((a, b) => a.localeCompare(b));
  find("count").textContent = names.length;
  find("people").replaceChildren(...names.map((name) => {
    const item = Object.assign(document.createElement("li"), { textContent: name });
    item.style.setProperty("--hue", hueOf(name));
    return item;
  }));
}

function turn(to, from) {
  to.hidden = false;
  from.hidden = true;
}

const hueOf = (name) => ([...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7) * 137) % 360;
