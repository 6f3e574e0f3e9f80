// The page in the frame: its Content-Security-Policy forbids every connection. A frame in it, the broker's /bridge.html, has them.
import { connect, WidecastChannel } from "/client/widecast.js";
import { converse } from "./conversation.js";

const find = (id) => document.getElementById(id);
const name = { localhost: "127.0.0.1", "127.0.0.1": "localhost" }[location.hostname];
const broker = `${location.protocol}//${name}:${location.port}`; // another origin than this page's
find("origin").textContent = location.origin;

const connection = connect(broker, { bridge: true });
converse(new WidecastChannel("demos:bridge", { broker: connection, history: 20 }), connection);

// Without the bridge:
find("direct").addEventListener("click", async () => {
  const answer = await fetch(`${broker}/health/live`).catch(() => undefined);
  find("outcome").dataset.outcome = answer ? "allowed" : "refused";
});
