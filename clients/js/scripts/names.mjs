// Which letters private members have in the bundles: those with which gzip makes them smallest, found by trial.
//
//   node scripts/names.mjs [seconds]      tries others, and keeps what is better in names.json
//
// Any letters will do: a list that is older than the source makes bundles larger, never wrong.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { parse } from "acorn";

const FILE = fileURLToPath(new URL("names.json", import.meta.url));
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$_";
/** Both have the same classes. */
const BUNDLES = ["widecast.js", "widecast.iife.js"];

/** The private members of one letter, class by class, each the places where it is named; all in the order of the text. */
function members(code) {
  const classes = [];
  const visit = (node, inside) => {
    if (Array.isArray(node)) return node.forEach((each) => visit(each, inside));
    if (typeof node?.type !== "string") return;
    if (node.type === "ClassBody") classes.push((inside = new Map()));
    if (node.type === "PrivateIdentifier" && node.name.length === 1) {
      if (!inside.has(node.name)) inside.set(node.name, []);
      inside.get(node.name).push(node.start + 1);
    }
    for (const value of Object.values(node)) if (typeof value === "object") visit(value, inside);
  };
  visit(parse(code, { ecmaVersion: "latest", sourceType: "module" }), undefined);
  return classes.map((names) => [...names.values()]).filter((names) => names.length > 0);
}

/** Gives the members of each class the letters of its line, if that is as long: no place moves, source maps hold. */
export async function rename(name, code) {
  if (!BUNDLES.includes(name)) return code;
  const lines = JSON.parse(await readFile(FILE, "utf8"));
  const letters = code.split("");
  members(code).forEach((places, i) => {
    if (lines[i]?.length === places.length) places.forEach((each, member) => each.forEach((at) => (letters[at] = lines[i][member])));
  });
  return letters.join("");
}

async function search(seconds) {
  const { buildInto } = await import("./build.mjs");
  const directory = await mkdtemp(`${tmpdir()}/widecast-names-`);
  await buildInto(directory);
  const codes = await Promise.all(BUNDLES.map((name) => readFile(`${directory}/${name}`, "latin1")));
  await rm(directory, { recursive: true });
  const texts = codes.map((code) => Buffer.from(code, "latin1"));
  const [first, second] = codes.map(members);
  const lines = first.map((places) => places.map(([at]) => codes[0][at]));
  const size = () => texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
  const give = (line, member, letter) => {
    lines[line][member] = letter;
    [first, second].forEach((classes, i) => classes[line][member].forEach((at) => (texts[i][at] = letter.charCodeAt(0))));
  };
  let best = size();
  console.log(`${best} bytes together`);
  const any = (list) => list[Math.floor(Math.random() * list.length)];
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    const line = any([...lines.keys()].flatMap((i) => lines[i].map(() => i)));
    const member = any([...lines[line].keys()]);
    const before = lines[line][member];
    const letter = any(Math.random() < 0.3 ? LETTERS : lines[line]);
    const other = lines[line].indexOf(letter);
    give(line, member, letter);
    if (other >= 0) give(line, other, before);
    const bytes = size();
    if (bytes <= best) best = bytes;
    else {
      give(line, member, before);
      if (other >= 0) give(line, other, letter);
    }
  }
  console.log(`${best} bytes together`);
  await writeFile(FILE, `${JSON.stringify(lines.map((line) => line.join("")), null, 2)}\n`);
}

// Not awaited here: the build waits for this module.
if (process.argv[1] === fileURLToPath(import.meta.url)) void search(Number(process.argv[2] ?? 120));
