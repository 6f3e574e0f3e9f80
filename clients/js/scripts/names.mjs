// Which letters variables, private members and shortened properties have in the bundles: those with which gzip makes them smallest, found by trial.
//
//   node scripts/names.mjs [trials]          tries others in the statements that the list does not know, since they have changed, and keeps what is
//                                            better in names.json
//   node scripts/names.mjs [trials] all      tries others in all statements
//
// Any letters will do: what the list says of statements that have changed since is passed over, so that a list that is older than the source
// makes bundles larger, never wrong. The same trials on the same source give the same list.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { exchange, unitsOf } from "./letters.mjs";

const FILE = fileURLToPath(new URL("names.json", import.meta.url));
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$_";
/** What most names are, so that half of the trials are with these. */
const COMMON = "abcdefghiklmnoprstu";
/** More than so many are not changed at once. */
const MOST_AT_ONCE = 8;
/** Where the trials are made; the others, which have mostly the same statements, get the same letters for these. */
const TRIED = ["widecast.iife.js", "widecast.legacy.js"];

/**
 * Gives what the list names the letters of the list: no place moves, source maps hold. Returns the code and, by their letters now, the
 * names that became shorter.
 */
export async function rename(code, shortened) {
  const list = JSON.parse(await readFile(FILE, "utf8"));
  const { units, known } = unitsOf(code, shortened);
  for (const unit of units) unit.before = unit.letter;
  const listed = new Map();
  for (const [key, members] of known) {
    if (list[key]?.length === members.length) members.forEach((unit, i) => listed.set(unit, list[key][i]));
  }
  const letterOf = (unit) => listed.get(unit) ?? unit.letter;
  const isRight = (unit) =>
    (!unit.isFixed || letterOf(unit) === unit.letter) &&
    [...unit.neighbours].every((other) => letterOf(other) !== letterOf(unit));
  if (units.every(isRight)) {
    for (const unit of units) unit.letter = letterOf(unit);
  } else {
    // The list is of another source: letter by letter, as far as that goes.
    const settled = new Set();
    for (const [unit, letter] of listed) {
      exchange(unit, letter, (other) => settled.has(other));
      settled.add(unit);
    }
  }
  const text = code.split("");
  for (const { letter, places } of units) for (const at of places) text[at] = letter;
  const now = new Map(shortened);
  for (const [key, [unit]] of known) if (key.startsWith(".")) now.delete(unit.before);
  for (const [key, [unit]] of known) if (key.startsWith(".")) now.set(unit.letter, key.slice(1));
  return { code: text.join(""), shortened: now };
}

async function search(trials, isForAll) {
  const { BUNDLES, bundle } = await import("./build.mjs");
  const old = JSON.parse(await readFile(FILE, "utf8"));
  let list = {};
  for (const name of TRIED) {
    const { code, shortened } = await bundle(name, BUNDLES[name]);
    const before = list;
    for (const better of improve(name, code, shortened, trials, isForAll ? {} : old)) {
      // A statement that two bundles have goes as in the first.
      list = { ...better, ...before };
      await writeFile(FILE, `${JSON.stringify(list, Object.keys(list).sort(), 2)}\n`);
    }
  }
}

/**
 * Yields the best letters for each statement of a bundle that were found until then, so that it can be ended at any time. Tries only
 * statements that are not listed, unless all are.
 */
function* improve(name, code, shortened, trials, listed) {
  const { units, known } = unitsOf(code, shortened);
  const unlisted = [...known].filter(([key]) => !(key in listed)).flatMap(([, members]) => members);
  const tried = unlisted.length ? unlisted : units;
  const text = Buffer.from(code);
  const size = () => gzipSync(text, { level: 9 }).length;
  const write = (changed) => {
    for (const { letter, places } of changed) for (const at of places) text[at] = letter.charCodeAt(0);
  };
  const any = generator();
  let best = size();
  for (let trial = 0; trial <= trials; trial++) {
    if (trial % 2000 === 0) {
      console.log(`${name}: ${best} bytes after ${trial} trials`);
      yield Object.fromEntries([...known].map(([key, members]) => [key, members.map(({ letter }) => letter).join("")]));
    }
    const unit = any(tried);
    const before = unit.letter;
    const changed = exchange(unit, any(any([LETTERS, COMMON])));
    write(changed);
    const bytes = changed.length && changed.length <= MOST_AT_ONCE ? size() : Infinity;
    if (bytes <= best) best = bytes;
    else write(exchange(unit, before));
  }
}

/** Picks from lists at random, each time in the same way (a linear congruential generator). */
function generator() {
  let state = 1;
  return (list) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return list[Math.floor((state / 2 ** 32) * list.length)];
  };
}

// Not awaited here: the build waits for this module.
if (process.argv[1] === fileURLToPath(import.meta.url)) void search(Number(process.argv[2] ?? 30_000), process.argv[3] === "all");
