// Bundles the client into broker/assets/client/, from where the broker serves it, and into dist/ for npm.

import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";
import { rename } from "./names.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * The names of properties that only our modules see, and neither a page nor the broker, the bridge or another tab, which may have
 * another version: the bundles have shorter ones. Add what you name so; `scripts/check.mjs` tells what is no longer used. Names that
 * the platform has, too, as `open` or `state`, cannot be shortened.
 */
export const INTERNAL = [
  ..."isAdmitted nextCommand admitted denied proved prove require settle".split(" "), // authentication
  ..."messageBytes checkRoom unshared hold leave joined wish missed handler woken cached".split(" "), // connection
  ..."place readers retry isWaiting hasJoined isOpen refused left line isAvailable restart hasOpened".split(" "), // tabs
  ..."encoded command post rewind abandon resume take".split(" "), // posts
  ..."isLastResort available platform base busy index check suspend reset".split(" "), // transports
  ..."extension plain skip raw float blob finish".split(" "), // codec
];

/** What every bundle has. */
export const OPTIONS = {
  bundle: true,
  minify: true,
  sourcemap: "external",
  sourcesContent: true,
  target: ["chrome94", "firefox93", "safari15.4"],
  legalComments: "none",
  mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
  charset: "utf8",
  logLevel: "warning",
};

/** The bundles: file name and how it differs. */
export const BUNDLES = {
  "widecast.js": { entryPoints: [here("../src/index.ts")], format: "esm" },
  // There is no import.meta in a classic script: the address is that of the running script.
  "widecast.iife.js": {
    entryPoints: [here("../src/script.ts")],
    format: "iife",
    define: { "import.meta.url": '""' },
  },
  // It refuses what it cannot write as ES5.
  "widecast.legacy.js": { entryPoints: [here("../src/legacy/index.ts")], format: "iife", target: "es5", mangleProps: undefined },
  "bridge.js": { entryPoints: [here("../src/bridge.ts")], format: "iife" },
};

/** Strict only inside of its function, since a page may put the text of a classic script before its own; as long as it was. */
const strictInside = (text) => text.replace(/^("use strict";)(\(\(\)=>\{|\(function\(\)\{)/, "$2$1");

/** Builds all bundles into a directory; returns the names that became shorter. */
export async function buildInto(directory) {
  await mkdir(directory, { recursive: true });
  const shortened = new Set();
  for (const [name, own] of Object.entries(BUNDLES)) {
    const { outputFiles, mangleCache } = await build({ ...OPTIONS, ...own, mangleCache: {}, outfile: `${directory}/${name}`, write: false });
    for (const property of Object.keys(mangleCache)) shortened.add(property);
    const [map, text] = [".map", ""].map((end) => outputFiles.find(({ path }) => path.endsWith(name + end)).text);
    const small = await minify(strictInside(text), {
      // The second step makes it 3 % smaller: it gives the shortest names to what is named most.
      ecma: own.target === "es5" ? 5 : 2020,
      module: own.format === "esm",
      compress: { passes: 2, inline: false, pure_getters: true, unsafe_arrows: true, unsafe_methods: true, lhs_constants: false },
      sourceMap: { content: map, includeSources: true, filename: name, url: `${name}.map` },
    });
    await Promise.all([writeFile(`${directory}/${name}`, await rename(name, small.code)), writeFile(`${directory}/${name}.map`, small.map)]);
  }
  return shortened;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Without an argument: to where the broker takes it from.
  await buildInto(here(process.argv[2] ? `../${process.argv[2]}` : "../../../broker/assets/client"));
}
