// A ripple wherever somebody touches: the smallest use of a channel.
import { WidecastChannel } from "/client/widecast.js";

const pond = document.getElementById("pond");
const channel = new WidecastChannel("demos:ripples");
const hue = Math.floor(Math.random() * 360); // each page has a colour of its own

channel.onmessage = ({ data }) => ripple(data);

pond.addEventListener("click", ({ clientX, clientY, detail }) => {
  const { left, top, width, height } = pond.getBoundingClientRect();
  // A click by the keyboard has no place (and no count): it goes to the middle.
  const place = detail ? { x: (clientX - left) / width, y: (clientY - top) / height } : { x: 0.5, y: 0.5 };
  ripple({ ...place, hue });
  channel.postMessage({ ...place, hue }); // reaches everybody but this page
});

function ripple({ x, y, hue }) {
  const ring = document.createElement("i");
  ring.style.left = `${x * 100}%`;
  ring.style.top = `${y * 100}%`;
  ring.style.setProperty("--hue", hue);
  ring.addEventListener("animationend", () => ring.remove());
  pond.append(ring);
}
