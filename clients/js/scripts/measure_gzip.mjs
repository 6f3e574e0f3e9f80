// What compressing messages saves and costs, in Chromium and in Node: the figures of docs/decisions/0007.
//
//   node scripts/measure_gzip.mjs

import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

/** Values such as a backend sends, of about so many bytes. */
const SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 102_400, 1_000_000];

const { outputFiles } = await build({
  stdin: { contents: 'export * from "./index.js"', resolveDir: fileURLToPath(new URL("../src/codec", import.meta.url)) },
  bundle: true,
  format: "esm",
  write: false,
});
const code = outputFiles[0].text;
const module = `data:text/javascript,${encodeURIComponent(code)}`;

/** Runs in both. */
async function measure([module, sizes]) {
  const { compress, encode, inflate } = await import(module);
  const words = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa".split(" ");
  const row = (i) => ({
    id: (i * 2654435761) % 2 ** 32,
    name: `${words[(i * 7) % 16]} ${words[(i * 13) % 16]} ${i}`,
    price: ((i * 7919) % 100_000) / 100,
    tags: [words[(i * 3) % 16], words[(i * 5) % 16]],
    at: new Date(1_700_000_000_000 + i * 86_477),
    active: i % 3 > 0,
  });
  const rowBytes = encode(Array.from({ length: 100 }, (_, i) => row(i))).size / 100;
  // The quickest of many rounds, since what else runs on the machine only adds; a clock of browsers is too coarse for less.
  const least = async (work, rounds = 60, milliseconds = 5) => {
    let best = Infinity;
    for (let round = 0; round < rounds; round++) {
      let count = 0;
      const start = performance.now();
      while (performance.now() - start < milliseconds) await work(), count++;
      best = Math.min(best, (performance.now() - start) / count);
    }
    return best;
  };
  const rows = [];
  for (const size of sizes) {
    const value = Array.from({ length: Math.max(1, Math.round(size / rowBytes)) }, (_, i) => row(i));
    const encoded = encode(value);
    const small = compress(encoded, 1);
    await small.ready;
    rows.push({
      bytes: encoded.size,
      gzip: small.bytes.length,
      "encode ms": await least(() => encode(value)),
      "compress ms": await least(() => compress(encoded, 1).ready),
      "inflate ms": await least(() => inflate(small.bytes, 1e9)),
    });
  }
  return rows;
}

function print(name, rows) {
  console.log(name);
  console.table(
    rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Number(value.toPrecision(3))]))),
  );
}

print(`Node ${process.version}`, await measure([module, SIZES]));
const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<!doctype html>"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
print(`Chromium ${browser.version()}`, await page.evaluate(measure, [module, SIZES]));
await browser.close();
server.close();
