/** A real nginx before the broker, as an ordinary process. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net, { type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";

/** Debian's is not in everybody's PATH. */
const BINARY = process.env["NGINX"] ?? "/usr/sbin/nginx";

/** What the inside of nginx's `http` block is when it listens on a port; files that it needs go into the directory. */
export type Http = (port: number, directory: string) => string | Promise<string>;

/** Passes everything on to the broker, with nginx's defaults but for what `location` says. */
export const passTo =
  (broker: string, location = ""): Http =>
  (port) =>
    `
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${broker};
      ${location}
    }
  }
`;

/** The headers that WebSockets need. */
export const UPGRADE = `
  proxy_http_version 1.1;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $connection_upgrade;
`;

const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`).join(" ");

const config = (http: string): string => `
  daemon off;
  user ${userInfo().username};
  worker_processes 1;
  # Without it, connections outlive a reload for as long as they like.
  worker_shutdown_timeout 1s;
  pid nginx.pid;
  error_log stderr warn;
  events {}
  http { access_log off; ${TEMPORARY} ${http} }
`;

export class Nginx {
  #process: ChildProcess | undefined;

  private constructor(
    readonly directory: string,
    readonly port: number,
  ) {}

  static async start(http: Http): Promise<Nginx> {
    const nginx = new Nginx(await mkdtemp(`${tmpdir()}/widecast-nginx-`), await freePort());
    await writeFile(`${nginx.directory}/nginx.conf`, config(await http(nginx.port, nginx.directory)));
    await nginx.start();
    return nginx;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, again. */
  async start(): Promise<void> {
    const nginx = spawn(BINARY, ["-p", this.directory, "-c", `${this.directory}/nginx.conf`], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = nginx;
    let log = "";
    nginx.stderr.on("data", (text) => (log += text));
    nginx.on("error", (error) => (log += error.message));
    while (!(await this.#answers())) {
      if (nginx.exitCode !== null || nginx.pid === undefined)
        throw new Error(`nginx did not start (Debian's package nginx): ${log}`);
      await pause();
    }
  }

  /** Takes its configuration anew: new workers take over, the old ones cut what they have after a second. */
  async reload(): Promise<void> {
    const workers = await this.#workers();
    this.#process!.kill("SIGHUP");
    while ((await this.#workers()).some((worker) => workers.includes(worker))) await pause();
  }

  /** Ends it at once, and all its connections. */
  async stop(): Promise<void> {
    const nginx = this.#process;
    this.#process = undefined;
    if (!nginx || nginx.exitCode !== null) return;
    nginx.kill("SIGTERM");
    await once(nginx, "exit");
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true });
  }

  async #workers(): Promise<string[]> {
    const pid = this.#process!.pid!;
    return (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).split(" ").filter(Boolean);
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, "127.0.0.1");
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
  }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
