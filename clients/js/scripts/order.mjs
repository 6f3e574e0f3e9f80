// In which order the modules stand in the bundles: that with which gzip makes them smallest, found by trial. It looks back 32 KiB only,
// less than a bundle has.
//
//   node scripts/order.mjs [trials]      tries others, and keeps what is better in order.json
//
// Any order will do: a module always stands after what it imports. Letters are given afterwards (names.mjs). The trials are made with text
// that is not quite that of a bundle, which would take too long.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { BUNDLES, OPTIONS } from "./build.mjs";

const FILE = fileURLToPath(new URL("order.json", import.meta.url));
const PLACE = /^src\/(.*)\.ts$/;
/** What is imported by nothing else. */
const ENTRY = "src/script.ts";

const { outputFiles, metafile } = await build({
  ...OPTIONS,
  ...BUNDLES["widecast.iife.js"],
  minify: false,
  minifyIdentifiers: true,
  minifySyntax: true,
  sourcemap: false,
  metafile: true,
  write: false,
  outfile: "client.js",
});
/** The text of each module. */
const texts = new Map();
for (const part of outputFiles[0].text.split(/^ {2}\/\/ (?=src\/)/m).slice(1)) {
  const [path] = part.split("\n", 1);
  const text = part.slice(path.length).replace(/\/\*[\s\S]*?\*\/|^ *\/\/.*$/gm, "");
  texts.set(path, text.replace(/\s+/g, " ").replace(/ ?([^\w$#]) ?/g, "$1"));
}

const known = JSON.parse(await readFile(FILE, "utf8")).map((name) => name.replace(/^\.\/(.*)\.js$/, "src/$1.ts"));
const all = [...texts.keys()].filter((path) => path !== ENTRY);
let best = [...known.filter((path) => all.includes(path)), ...all.filter((path) => !known.includes(path))];
let least = size(best);
console.log(`${least} bytes before`);
const trials = Number(process.argv[2] ?? 3000);
for (let trial = 1; trial <= trials; trial++) {
  const order = [...best];
  for (let moves = pick(3) + 1; moves > 0; moves--) order.splice(pick(order.length), 0, ...order.splice(pick(order.length), 1));
  const bytes = size(order);
  if (bytes <= least) [best, least] = [order, bytes];
}
console.log(`${least} bytes after ${trials} trials`);
const names = best.map((path) => path.replace(PLACE, "./$1.js"));
await writeFile(FILE, `${JSON.stringify(names, undefined, 2)}\n`);

/** How many bytes the modules have in an order, each after what it imports. */
function size(order) {
  const placed = new Set();
  const place = (path) => {
    if (placed.has(path)) return;
    placed.add(path);
    for (const { path: imported } of metafile.inputs[path].imports) place(imported);
    text += texts.get(path) ?? "";
  };
  let text = "";
  for (const path of [...order, ENTRY]) place(path);
  return gzipSync(text, { level: 9 }).length;
}

function pick(count) {
  return Math.floor(Math.random() * count);
}
