// Bundles the client into broker/assets/client/, from where the broker serves it, and into dist/ for npm.

import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
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
  ..."isAdmitted admitted denied proved prove miss require settle numbered commands ask forget resolve reject".split(" "), // authentication
  ..."messageBytes unshared leave joined wish missed handler woken cached".split(" "), // connection
  ..."openLocal ignore keep place readers retry isWaiting hasJoined isOpen refused left line isAvailable restart hasOpened".split(
    " ",
  ), // tabs
  ..."encoded checkSize checkRoom post rewind abandon resume hold isSent".split(" "), // posts
  ..."isLastResort available platform base index check suspend reset".split(" "), // transports
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

/**
 * The modules in the order in which they stand in the bundles, after what they import: that with which gzip makes the bundles smallest,
 * found by trial (order.mjs). A module that is not listed stands where it is imported first; one that is gone is passed over.
 */
const LISTED = JSON.parse(await readFile(here("order.json"), "utf8"));
const ORDER = LISTED.filter((module) => existsSync(here(`../src/${module.replace(/js$/, "ts")}`)));

/** What is bundled, its modules in an order. */
export const ordered = (entry, order = ORDER) => ({
  stdin: { contents: order.map((module) => `import "${module}";\n`).join("") + entry, resolveDir: here("../src") },
  // The package says that its modules do nothing when they are only imported; these are for their order.
  ignoreAnnotations: true,
});

/** The bundles: file name and how it differs. */
export const BUNDLES = {
  "widecast.js": { ...ordered('export * from "./index.js";'), format: "esm" },
  // There is no import.meta in a classic script: the address is that of the running script.
  "widecast.iife.js": {
    ...ordered('import "./script.js";'),
    format: "iife",
    define: { "import.meta.url": '""' },
  },
  // It refuses what it cannot write as ES5.
  "widecast.legacy.js": { entryPoints: [here("../src/legacy/index.ts")], format: "iife", target: "es5", mangleProps: undefined },
  "fallbacks.js": { entryPoints: [here("../src/transports/fallbacks.ts")], format: "iife" },
  "bridge.js": { entryPoints: [here("../src/bridge.ts")], format: "iife" },
};

/** Strict only inside of its function, since a page may put the text of a classic script before its own; as long as it was. */
const strictInside = (text) => text.replace(/^("use strict";)(\(\(\)=>\{|\(function\(\)\{)/, "$2$1");

/** One bundle, its map, and the names that became shorter, by what they are now. */
export async function bundle(name, own) {
  const { code, map, shortened } = await bundleUnnamed(name, own);
  return { ...(await rename(code, shortened)), map };
}

/** The same with the letters that the minifiers give. */
export async function bundleUnnamed(name, own) {
  const { outputFiles, mangleCache } = await build({ ...OPTIONS, ...own, mangleCache: {}, outfile: name, write: false });
  const [map, text] = [".map", ""].map((end) => outputFiles.find(({ path }) => path.endsWith(name + end)).text);
  const small = await minify(strictInside(text), {
    // The second step makes it 3 % smaller: it gives the shortest names to what is named most.
    ecma: own.target === "es5" ? 5 : 2020,
    module: own.format === "esm",
    compress: {
      passes: 2,
      inline: false,
      pure_getters: true,
      unsafe: true,
      unsafe_arrows: true,
      unsafe_comps: true,
      unsafe_methods: true,
      lhs_constants: false,
    },
    sourceMap: { content: map, includeSources: true, filename: name, url: `${name}.map` },
  });
  const shortened = new Map(Object.entries(mangleCache).map(([long, short]) => [short, long]));
  return { code: small.code, map: small.map, shortened };
}

/** Builds all bundles into a directory; returns the names that became shorter. */
export async function buildInto(directory) {
  await mkdir(directory, { recursive: true });
  const names = new Set();
  for (const [name, own] of Object.entries(BUNDLES)) {
    const { code, map, shortened } = await bundle(name, own);
    await Promise.all([writeFile(`${directory}/${name}`, code), writeFile(`${directory}/${name}.map`, map)]);
    for (const long of shortened.values()) names.add(long);
  }
  return names;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Without an argument: to where the broker takes it from.
  await buildInto(here(process.argv[2] ? `../${process.argv[2]}` : "../../../broker/assets/client"));
}
