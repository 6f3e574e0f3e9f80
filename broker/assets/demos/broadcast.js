// Plain BroadcastChannel code, the same in both pages: it works between the tabs of one browser without Widecast, too.
const find = (id) => document.getElementById(id);
const channel = new BroadcastChannel("demos:broadcast");

channel.onmessage = ({ data, origin }) => log("heard", data, origin);

function post(value) {
  channel.postMessage(value); // to everybody but this page
  log("sent", value);
}

const values = {
  date: () => new Date(),
  map: () => new Map([["tea", 3]]),
  set: () => new Set([1, 2, 3]),
  typed: () => new Float64Array([Math.PI]),
  bigint: () => 2n ** 64n,
  regexp: () => /cast$/i,
  error: () => new RangeError("far"),
  loop() {
    const loop = { name: "loop" };
    loop.self = loop;
    return loop;
  },
  image: () => new ImageData(Uint8ClampedArray.from({ length: 48 * 48 * 4 }, (_, i) => [i / 36, 80, 255 - i / 36, 255][i % 4]), 48),
  file: () => new File(["hello"], "hello.txt", { type: "text/plain" }),
};
for (const button of document.querySelectorAll("button[data-value]")) {
  button.addEventListener("click", () => post(values[button.dataset.value]()));
}
find("form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  post(find("text").value);
});

// From here on: how it looks.
function log(template, value, origin) {
  const line = find(template).content.firstElementChild.cloneNode(true);
  line.querySelector("code").textContent = inspect(value);
  if (origin) line.querySelector("small").textContent = origin;
  if (value instanceof ImageData) {
    const canvas = Object.assign(document.createElement("canvas"), { width: value.width, height: value.height });
    canvas.getContext("2d").putImageData(value, 0, 0);
    line.append(canvas);
  }
  find("log").prepend(line);
}

function inspect(value, around = []) {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return String(value);
  if (around.includes(value)) return "↺";
  const inside = (parts) => Array.from(parts, (part) => inspect(part, [...around, value])).join(", ");
  const type = value.constructor.name;
  if (value instanceof Date) return `Date ${value.toISOString()}`;
  if (value instanceof RegExp || value instanceof Error) return String(value);
  if (value instanceof Map) return `Map(${value.size}) { ${Array.from(value, ([key, item]) => `${inside([key])} → ${inside([item])}`).join(", ")} }`;
  if (value instanceof Set) return `Set(${value.size}) { ${inside(value)} }`;
  if (value instanceof Blob) return `${type} ${value.name ?? ""} (${value.size}, ${value.type})`;
  if (value instanceof ImageData) return `ImageData ${value.width} × ${value.height}`;
  if (ArrayBuffer.isView(value) || Array.isArray(value)) return `${type}(${value.length}) [${inside(value)}]`;
  return `${type} { ${Object.entries(value).map(([key, item]) => `${key}: ${inside([item])}`).join(", ")} }`;
}
