/** The script for old browsers is one that they can read. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";
import { expect, test } from "vitest";

const BUNDLE = fileURLToPath(new URL("../../../broker/assets/client/widecast.legacy.js", import.meta.url));

test("the bundle for old browsers is ES5", async () => {
  const text = await readFile(BUNDLE, "utf8");
  expect(() => parse(text, { ecmaVersion: 5 })).not.toThrow();
  expect(() => parse("var f = () => `1`", { ecmaVersion: 5 })).toThrow();
});
