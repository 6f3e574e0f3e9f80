/** The package as npm makes it: installed elsewhere, used from Node, and checked by TypeScript. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "./broker.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const PATIENCE = 300_000;

let directory: string;
let files: string[];
let broker: Broker;
beforeAll(async () => {
  [broker, directory] = await Promise.all([startBroker(), mkdtemp(`${tmpdir()}/widecast-package-`)]);
  const packed = await run("npm", ["pack", "--silent", "--json", "--pack-destination", directory], PACKAGE);
  // What builds the package may say something before.
  const [{ filename, files: listed }] = JSON.parse(packed.slice(packed.indexOf("[\n"))) as [
    { filename: string; files: { path: string }[] },
  ];
  files = listed.map(({ path }) => path);
  const { devDependencies: versions } = JSON.parse(await readFile(`${PACKAGE}/package.json`, "utf8")) as {
    devDependencies: Record<string, string>;
  };
  await writeFile(`${directory}/package.json`, JSON.stringify({ private: true, type: "module" }));
  const others = ["ws"].map((name) => `${name}@${versions[name]}`);
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", `./${filename}`, ...others]);
}, PATIENCE);
afterAll(async () => {
  await broker?.kill();
  if (directory) await rm(directory, { recursive: true });
});

/** Runs a command to its end, which is its own: nothing must keep it from coming to it. */
async function run(command: string, options: string[], cwd = directory): Promise<string> {
  const running = promisify(execFile)(command, options, { cwd, timeout: PATIENCE });
  const { stdout } = await running.catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${command} ${options.join(" ")}: ${error.stderr}${error.stdout}`, { cause: error });
  });
  return stdout;
}

/** Runs a program of the consumer's; what it prints is JSON. */
async function program(source: string, ...options: string[]): Promise<unknown> {
  await writeFile(`${directory}/program.mjs`, source);
  return JSON.parse(await run(process.execPath, ["program.mjs", ...options]));
}

/** As README.md shows it. */
const TALK = `
  import { connect, WidecastChannel } from "widecast";
  import WebSocket from "ws";

  const [broker, name, transport, own] = process.argv.slice(2);
  const connection = connect(broker, { transports: [transport], ...(!own && { WebSocket }) });
  const channel = new WidecastChannel(name, { broker: connection });
  const heard = new Promise((resolve) => (channel.onmessage = ({ data }) => resolve(data)));
  await channel.ready;
  // Another machine.
  const url = broker + "/channels/" + name + "/messages";
  await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: '{"from":"another"}' });
  await heard;
  const { offset } = await channel.publish({ from: "node", at: new Date(0), raw: new Uint8Array([1, 2]) });
  const { messages } = await (await fetch(url)).json();
  console.log(JSON.stringify({ used: connection.transport, heard: await heard, offset, sent: messages.at(-1).data }));
  channel.close();
  connection.close();
`;

const isGlobal = "WebSocket" in globalThis;
test.each([["websocket", ""], ["stream", ""], ["poll", ""], ...(isGlobal ? [["websocket", " of Node"]] : [])])(
  "it talks both ways over %s%s",
  async (transport, own) => {
    expect(await program(TALK, broker.url, `packed-${transport}${own && "-own"}`, transport!, own!)).toEqual({
      used: transport,
      heard: { from: "another" },
      offset: 2,
      sent: { from: "node", at: { $type: "Date", value: 0 }, raw: { $type: "binary", value: "AQI=" } },
    });
  },
  PATIENCE,
);

test(
  "the classic script has what the module has",
  async () => {
    const source = `
    import * as module from "widecast";
    import "widecast/iife";
    console.log(JSON.stringify([Object.keys(module).sort(), Object.keys(globalThis.Widecast).sort()]));
  `;
    const [module, script] = (await program(source)) as [string[], string[]];
    expect(module).toContain("WidecastChannel");
    expect(script).toEqual(module);
  },
  PATIENCE,
);

test("all that package.json names is in it, its licences, and nothing else", async () => {
  const { exports, main, module, types, ...about } = JSON.parse(
    await readFile(`${directory}/node_modules/widecast/package.json`, "utf8"),
  ) as Record<string, object>;
  const named = JSON.stringify([exports, main, module, types]).match(/\.\/dist\/[^"]+/g)!;
  expect(files).toEqual(expect.arrayContaining(named.map((path) => path.slice(2))));
  expect(files).toEqual(expect.arrayContaining(["README.md", "LICENSE-MIT", "LICENSE-APACHE"]));
  expect(about).toMatchObject({
    license: "MIT OR Apache-2.0",
    repository: { directory: "clients/js" },
    homepage: expect.any(String),
  });
  expect(files.filter((path) => !/^(dist\/widecast|dist\/types\/|package\.json|README\.md|LICENSE-)/.test(path))).toEqual([]);
  const declared = files.filter((path) => path.startsWith("dist/types/")).map((path) => path.slice(11));
  expect(declared.sort()).toEqual(["api.d.ts", "codes.d.ts", "error.d.ts", "index.d.ts"]);
});

const TYPED = `
  import { connect, type Connection, type PastMessage, type Receipt, type TransportName, WidecastChannel, WidecastError } from "widecast";

  const connection: Connection = connect("https://broker.example", { transports: ["websocket"], token: () => Promise.resolve("secret"), batchDelay: 5 });
  const channel = new WidecastChannel("news", { broker: connection, order: "broker", history: 3 });
  channel.onmessage = (event: MessageEvent<string>) => console.log(event.data.length, event.lastEventId);
  channel.addEventListener("status", ({ detail }) => detail.transport satisfies TransportName | undefined);
  channel satisfies BroadcastChannel;
  const receipt: Promise<Receipt> = channel.upload(new Blob(["x"]), { timeout: 1000, onprogress: ({ loaded, total }) => console.log(loaded / total) });
  const past: Promise<PastMessage[]> = channel.history({ limit: 1 });
  receipt.catch((error: unknown) => error instanceof WidecastError && error.code === "timeout" && error.retryable);
  // @ts-expect-error -- there is no such transport
  connect("https://broker.example", { transports: ["pigeon"] });
  // @ts-expect-error -- what only our modules call is not offered
  connection.checkRoom satisfies unknown;
  void past;
`;

/** The same without the types of a browser. */
const TYPED_WITHOUT_DOM = `
  import { connect, type Member, WidecastChannel, WidecastError } from "widecast";

  const channel = new WidecastChannel<{ price: number }>("prices", { broker: connect("http://127.0.0.1:8080") });
  channel.onmessage = ({ data, origin, lastEventId }) => [data.price.toFixed(2), origin.length, lastEventId.length];
  channel.addEventListener("status", ({ detail }) => detail.state === "open");
  channel.addEventListener("join", ({ data }: { data: Member }) => data.id);
  channel.addEventListener("change", ({ data }) => data.price, { once: true });
  channel.publish({ price: 1 }).catch((error: unknown) => error instanceof WidecastError && error.code);
  class Room extends WidecastChannel<string> {}
  new Room("room").postMessage("hello");
  // @ts-expect-error -- no price
  channel.postMessage("free");
`;

test.each([
  ["NodeNext", "NodeNext", ["DOM"], TYPED],
  ["ESNext", "Bundler", ["DOM"], TYPED],
  ["NodeNext", "NodeNext", [], TYPED_WITHOUT_DOM],
  ["ESNext", "Bundler", [], TYPED_WITHOUT_DOM],
])(
  "its types hold for modules of %s, resolved as %s, with the library %j",
  async (module, moduleResolution, lib, typed) => {
    const compilerOptions = {
      module,
      moduleResolution,
      target: "ES2022",
      lib: ["ES2022", ...lib],
      types: [],
      strict: true,
      noEmit: true,
      skipLibCheck: false,
    };
    await writeFile(`${directory}/tsconfig.json`, JSON.stringify({ compilerOptions, files: ["typed.ts"] }));
    await writeFile(`${directory}/typed.ts`, typed);
    await run(`${PACKAGE}/node_modules/.bin/tsc`, ["-p", "tsconfig.json"]);
  },
  PATIENCE,
);
