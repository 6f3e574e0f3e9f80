// The names of one letter in a bundle: of variables, private members and shortened properties, and which of them may not have the same.

import { createHash } from "node:crypto";
import { parse } from "acorn";
import { analyze } from "eslint-scope";

const SYNTAX = { ecmaVersion: 2022, sourceType: "module" };

/**
 * What one letter names. The places are those in the text; the neighbours are named where it is, so that they need other letters.
 *
 * @typedef {{ letter: string, places: Set<number>, neighbours: Set<Unit>, isFixed: boolean }} Unit
 */

/**
 * All units of a text; and those of each statement at its top, by what the statement is like whatever its short names are, and each
 * property, by its name in the source. `shortened`: these names, by what the build has made of them.
 *
 * @returns {{ units: Unit[], known: Map<string, Unit[]> }}
 */
export function unitsOf(code, shortened) {
  const tree = parse(code, { ...SYNTAX, ranges: true });
  const isShorthand = shorthands(tree);
  const local = [...variables(tree), ...privateMembers(tree)].filter(({ letter }) => letter.length === 1);
  const global = properties(tree, shortened).filter(({ letter }) => letter.length === 1);
  const units = [...local, ...global];
  // `{ r }` names a variable and a property.
  for (const unit of units) unit.isFixed ||= [...unit.places].some((at) => isShorthand.has(at));
  const known = new Map();
  // A classic script is a function that is called.
  const top = tree.body[0].expression?.callee?.body?.body ?? tree.body;
  for (const { start, end } of top.flatMap((each) => each.declarations ?? each)) {
    const inside = local.filter(({ places: [first] }) => first >= start && first < end);
    let key = fingerprint(code.slice(start, end));
    while (known.has(key)) key += "'";
    if (inside.length) known.set(key, inside);
  }
  for (const unit of global) if (shortened.has(unit.letter)) known.set(`.${shortened.get(unit.letter)}`, [unit]);
  return { units, known };
}

/**
 * Gives a unit another letter. Neighbours that have it get the one that it had, and so on from neighbour to neighbour, so that
 * what was right stays right. Returns which units have changed; none if one is kept.
 */
export function exchange(unit, letter, isKept = () => false) {
  const before = unit.letter;
  if (letter === before) return [];
  const chain = new Set([unit]);
  for (const each of chain) {
    if (each.isFixed || isKept(each)) return [];
    const other = each.letter === before ? letter : before;
    for (const neighbour of each.neighbours) if (neighbour.letter === other) chain.add(neighbour);
  }
  for (const each of chain) each.letter = each.letter === before ? letter : before;
  return [...chain];
}

const fingerprint = (text) =>
  createHash("sha256")
    .update(text.replace(/(?<![$\w])[$\w]{1,2}(?![$\w])/g, "_"))
    .digest("hex")
    .slice(0, 8);

/** Two are neighbours when one is declared where the other is seen: in its own scope, or between that and where it is used. */
function variables(tree) {
  const found = new Map();
  const manager = analyze(tree, SYNTAX);
  for (const scope of manager.scopes) {
    for (const { name, identifiers, references } of scope.variables) {
      if (!identifiers.length) continue;
      // The name of a class is that of two variables, outside and inside.
      const first = identifiers[0].range[0];
      const unit = found.get(first) ?? { ...unitOf(name), scopes: new Set(), seen: new Set() };
      found.set(first, unit);
      for (const { range } of identifiers) unit.places.add(range[0]);
      for (const { identifier } of references) unit.places.add(identifier.range[0]);
      for (const { from } of references) for (let each = from; each !== scope; each = each.upper) unit.seen.add(each);
      unit.scopes.add(scope);
      unit.seen.add(scope);
    }
  }
  const all = [...found.values()].filter(({ letter }) => letter.length === 1);
  const isSeen = (a, b) => [...a.scopes].some((scope) => b.seen.has(scope));
  for (const a of all) for (const b of all) if (a !== b && (isSeen(a, b) || isSeen(b, a))) a.neighbours.add(b);
  return all;
}

/** Where `{ name }` stands for `{ name: name }`. */
function shorthands(tree) {
  const places = new Set();
  visit(tree, (node) => node.type === "Property" && node.shorthand && places.add(node.start));
  return places;
}

/** All properties of a bundle are neighbours, whatever they belong to; others than those that the build has named are kept. */
function properties(tree, shortened) {
  const found = new Map();
  visit(tree, (node) => {
    const name = node.property ?? node.key;
    if (name?.type !== "Identifier" || node.computed) return;
    const unit = found.get(name.name) ?? unitOf(name.name, !shortened.has(name.name));
    found.set(name.name, unit);
    unit.places.add(name.start);
  });
  const all = [...found.values()];
  for (const unit of all) unit.neighbours = new Set(all.filter((other) => other !== unit));
  return all;
}

const unitOf = (letter, isFixed = false) => ({ letter, places: new Set(), neighbours: new Set(), isFixed });

/** Those of a class are neighbours. */
function privateMembers(tree) {
  const classes = new Map();
  visit(tree, ({ type, name, start }, body) => {
    if (type !== "PrivateIdentifier") return;
    if (!classes.has(body)) classes.set(body, new Map());
    const members = classes.get(body);
    const unit = members.get(name) ?? unitOf(name);
    members.set(name, unit);
    unit.places.add(start + 1);
  });
  for (const members of classes.values()) {
    for (const unit of members.values()) unit.neighbours = new Set([...members.values()].filter((other) => other !== unit));
  }
  return [...classes.values()].flatMap((members) => [...members.values()]);
}

/** Calls with each node and the body of the class that it is in. */
function visit(node, see, body) {
  if (Array.isArray(node)) for (const each of node) visit(each, see, body);
  if (typeof node?.type !== "string") return;
  see(node, body);
  for (const value of Object.values(node))
    if (typeof value === "object") visit(value, see, node.type === "ClassBody" ? node : body);
}
