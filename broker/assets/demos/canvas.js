// A canvas that everybody draws on: strokes go as binary, one message per animation frame, and so do the pointers.
import { WidecastChannel } from "/client/widecast.js";

const find = (id) => document.getElementById(id);
const canvas = find("canvas");
const pen = canvas.getContext("2d");
const channel = new WidecastChannel("demos:canvas", { history: 4096 }); // who comes late sees the recent strokes
const figures = { sent: 0, received: 0, bytes: 0 };

// A message is an Int16Array: hue, width, then x and y of each point. An empty one clears the canvas.
channel.onmessage = ({ data }) => {
  if (!(data instanceof Int16Array)) return;
  draw(data);
  count("received", data);
};
channel.addEventListener("status", ({ detail }) => (find("status").dataset.state = detail.state));

function post(message) {
  draw(message);
  channel.postMessage(message);
  count("sent", message);
}

function draw([hue, width, ...points]) {
  if (hue === undefined) return pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = hue < 0 ? "#1b2230" : `hsl(${hue} 80% 45%)`;
  pen.lineWidth = width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  for (let i = 0; i < points.length; i += 2) pen.lineTo(points[i], points[i + 1]);
  pen.stroke();
}

// Each pointer that is down, a finger for example, with its points since the last frame.
const strokes = new Map();

function place({ offsetX, offsetY }) {
  return [(offsetX * canvas.width) / canvas.clientWidth, (offsetY * canvas.height) / canvas.clientHeight];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  if (!strokes.size) requestAnimationFrame(frame);
  strokes.set(event.pointerId, [...place(event), ...place(event)]); // a touch alone makes a dot
});
canvas.addEventListener("pointermove", (event) => {
  const moves = event.getCoalescedEvents?.() ?? [];
  for (const move of moves.length ? moves : [event]) strokes.get(event.pointerId)?.push(...place(move));
});
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);

function lift({ pointerId }) {
  send(pointerId);
  strokes.delete(pointerId);
}

function frame() {
  for (const pointer of strokes.keys()) send(pointer);
  if (strokes.size) requestAnimationFrame(frame);
}

function send(pointer) {
  const points = strokes.get(pointer);
  if (!points || points.length <= 2) return;
  post(Int16Array.of(chosen("hue"), chosen("width"), ...points));
  strokes.set(pointer, points.slice(-2)); // the next piece begins where this one ends
}

// Where the others point, on a channel of its own: the history of the canvas is for strokes.
const pointers = new WidecastChannel("demos:canvas-pointers");
const me = Math.floor(Math.random() * 32768);
const shown = new Map(); // who points → the mark on the sheet
let pointing; // the newest place of this page's pointer, until it is posted

pointers.onmessage = ({ data }) => {
  if (!(data instanceof Int16Array)) return;
  const [who, hue, x, y] = data;
  const mark = shown.get(who) ?? find("sheet").appendChild(Object.assign(document.createElement("i"), { className: "pointer" }));
  clearTimeout(mark.timer);
  const forget = () => (mark.remove(), shown.delete(who));
  if (x === undefined) return forget();
  shown.set(who, mark);
  mark.timer = setTimeout(forget, 4000); // it has not moved for long, or its page is gone
  mark.style.left = `${(x / canvas.width) * 100}%`;
  mark.style.top = `${(y / canvas.height) * 100}%`;
  mark.style.color = hue < 0 ? "#1b2230" : `hsl(${hue} 80% 45%)`;
};

function point(place) {
  if (!pointing) requestAnimationFrame(() => (pointers.postMessage(Int16Array.of(me, chosen("hue"), ...pointing)), (pointing = undefined)));
  pointing = place;
}

canvas.addEventListener("pointermove", (event) => point(place(event)));
canvas.addEventListener("pointerleave", () => pointers.postMessage(Int16Array.of(me)));

// The arrow keys draw, too; with Shift they only move.
let at = [canvas.width / 2, canvas.height / 2];
const STEPS = { ArrowLeft: [-20, 0], ArrowRight: [20, 0], ArrowUp: [0, -20], ArrowDown: [0, 20] };
canvas.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  const to = [at[0] + step[0], at[1] + step[1]];
  if (!event.shiftKey) post(Int16Array.of(chosen("hue"), chosen("width"), ...at, ...to));
  at = to;
  point(at);
});

find("clear").addEventListener("click", () => post(new Int16Array()));

const chosen = (name) => Number(document.querySelector(`input[name=${name}]:checked`).value);

function count(direction, message) {
  figures[direction]++;
  figures.bytes += message.byteLength;
  for (const [id, figure] of Object.entries(figures)) find(id).textContent = figure;
}
