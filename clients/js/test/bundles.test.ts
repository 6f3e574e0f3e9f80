/** The bundles as text. */
import { readFileSync } from "node:fs";
import { parse } from "acorn";
import { expect, test } from "vitest";

test.each(["widecast.iife.js", "widecast.legacy.js", "bridge.js"])("%s can stand before a script that is not strict", (name) => {
  const text = readFileSync(new URL(`../../../broker/assets/client/${name}`, import.meta.url), "utf8");
  const sloppy = "\nwith (Math) random();";
  expect(() => parse(text + sloppy, { ecmaVersion: "latest", sourceType: "script" })).not.toThrow();
  expect(() => parse(`"use strict";${sloppy}`, { ecmaVersion: "latest", sourceType: "script" })).toThrow();
});
