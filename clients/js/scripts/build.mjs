// Bundles the client into broker/assets/client/, from where the broker serves it, and into dist/ for npm.

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** What every bundle has. */
export const OPTIONS = {
  bundle: true,
  minify: true,
  sourcemap: "linked",
  sourcesContent: true,
  target: ["chrome94", "firefox93", "safari15.4"],
  legalComments: "none",
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
    globalName: "Widecast",
    define: { "import.meta.url": '""' },
  },
};

/** Builds all bundles into a directory. */
export async function buildInto(directory) {
  await mkdir(directory, { recursive: true });
  for (const [name, own] of Object.entries(BUNDLES)) await build({ ...OPTIONS, ...own, outfile: `${directory}/${name}` });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Without an argument: to where the broker takes it from.
  await buildInto(here(process.argv[2] ? `../${process.argv[2]}` : "../../../broker/assets/client"));
}
