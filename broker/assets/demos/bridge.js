// The page around: it is of the broker's own origin, and connects as usual.
import { WidecastChannel } from "/client/widecast.js";
import { converse } from "./conversation.js";

const find = (id) => document.getElementById(id);
find("origin").textContent = location.origin;
converse(new WidecastChannel("demos:bridge", { history: 20 }));

// To a browser the same broker under its other name is another origin.
const name = { localhost: "127.0.0.1", "127.0.0.1": "localhost" }[location.hostname];
const root = document.documentElement;
function load() {
  find("child").src = `${location.protocol}//${name}:${location.port}/demos/bridge-child.html?lang=${root.lang}`;
}
if (name) {
  load();
  new MutationObserver(load).observe(root, { attributeFilter: ["lang"] }); // it speaks the language of this page
} else {
  find("child").hidden = true;
  find("nameless").hidden = false;
}
