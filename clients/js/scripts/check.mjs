// The committed bundles are what the source builds, and small enough.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { BUNDLES, buildInto, INTERNAL } from "./build.mjs";

const COMMITTED = fileURLToPath(new URL("../../../broker/assets/client", import.meta.url));
/** 16 KiB. */
const MOST_BYTES = 16_384;
/** What has a limit of its own. */
const MOST_BYTES_OF = { "bridge.js": 7_168, "fallbacks.js": 5_632, "widecast.legacy.js": 5_120 };

const built = await mkdtemp(`${tmpdir()}/widecast-client-`);
try {
  const shortened = await buildInto(built);
  const unused = INTERNAL.filter((name) => !shortened.has(name));
  if (unused.length) throw new Error(`the build shortens names that the source no longer has: ${unused.join(", ")}`);
  for (const name of Object.keys(BUNDLES)) {
    // The map of a bundle names its sources from where it is: only its own text has to be the same.
    const [fresh, committed] = await Promise.all([built, COMMITTED].map((directory) => readFile(`${directory}/${name}`)));
    if (!fresh.equals(committed)) throw new Error(`${name} is not what its source builds: npm run build`);
    const bytes = gzipSync(committed, { level: 9 }).length;
    const most = MOST_BYTES_OF[name] ?? MOST_BYTES;
    console.log(`${name}: ${bytes} bytes gzip of at most ${most}`);
    if (bytes > most) throw new Error(`${name} is too large`);
  }
} finally {
  await rm(built, { recursive: true });
}
