// What the page and the frame have in common: what is said on a channel, from which origin, and how the channel is doing.
const find = (id) => document.getElementById(id);

export function converse(channel, connection = channel.connection) {
  const status = () => (find("status").dataset.state = connection.state);
  connection.addEventListener("status", status);
  status();

  // The origin of a message is what the broker has seen of its sender, who cannot choose it.
  channel.onmessage = ({ data, origin }) => say("in", data, origin);
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = find("text").value;
    channel.postMessage(text);
    say("out", text, location.origin);
  });
}

function say(way, text, origin) {
  const line = find("line").content.firstElementChild.cloneNode(true);
  line.classList.add(way);
  line.querySelector(".text").textContent = text;
  line.querySelector("code").textContent = origin;
  find("log").prepend(line);
}
