// What the page and the frame have in common: what is said on a channel, by whom, and how the channel is doing.
const find = (id) => document.getElementById(id);

export function converse(channel, connection = channel.connection) {
  const status = () => (find("status").dataset.state = connection.state);
  connection.addEventListener("status", status);
  status();

  channel.onmessage = ({ data }) => say("in", data);
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const message = { from: location.origin, text: find("text").value };
    channel.postMessage(message);
    say("out", message);
  });
}

function say(way, { from, text }) {
  const line = find("line").content.firstElementChild.cloneNode(true);
  line.classList.add(way);
  line.querySelector(".text").textContent = text;
  line.querySelector("small").textContent = from;
  find("log").prepend(line);
}
