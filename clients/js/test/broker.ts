/** A real broker for a test. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BUILT = fileURLToPath(new URL("../../../target/debug/widecast", import.meta.url));

export interface Broker {
  url: string;
  port: number;
  /** Ends it without a word, as a crash does. */
  kill(): Promise<void>;
  /** Ends it in good order: it says goodbye to everybody. */
  terminate(): Promise<void>;
  publish(channel: string, data: unknown, event?: string): Promise<void>;
}

/** Starts a broker on a port of its own, or on the one that it had. */
export async function startBroker({ port = 0, settings = {} as Record<string, string> } = {}): Promise<Broker> {
  const broker = spawn(process.env["BROKER_BINARY"] ?? BUILT, ["serve", "--listen", `127.0.0.1:${port}`], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, WIDECAST_NAMESPACE_DEFAULT_JSONP: "true", ...settings },
  });
  const log: string[] = [];
  let url: string | undefined;
  for await (const line of createInterface({ input: broker.stderr })) {
    log.push(line);
    url = /listening on (http:\/\/[0-9.:]+)/.exec(line)?.[1];
    if (url) break;
  }
  if (!url) throw new Error(`the broker did not start:\n${log.join("\n")}`);
  broker.stderr.resume();
  const address = url;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (broker.exitCode !== null || broker.signalCode !== null) return;
    broker.kill(signal);
    await once(broker, "exit");
  };
  return {
    url: address,
    port: Number(new URL(address).port),
    kill: () => end("SIGKILL"),
    terminate: () => end("SIGTERM"),
    async publish(channel, data, event) {
      const query = event ? `?event=${encodeURIComponent(event)}` : "";
      const answer = await fetch(`${address}/channels/${encodeURIComponent(channel)}/messages${query}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(data),
      });
      if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
    },
  };
}
