/** A machine as a test has it: a page in a browser profile of its own, which everything reaches through the broker. */
import type { TransportName } from "../../src/transports/index.js";
import { openPage } from "./browser.js";
import type { EngineBrowser, EngineContext, EnginePage } from "./engine.js";

export const TRANSPORTS: TransportName[] = ["websocket", "sse", "stream", "poll", "jsonp"];

/** How the connection of a machine is, and its channel. */
export interface Status {
  state: string;
  transport: TransportName | undefined;
  /** How many posts the broker does not have yet. */
  queued: number;
  /** How often it was told that messages were lost. */
  gaps: number;
}

/** What machine.js offers. */
export interface MachinePage {
  start(broker: string, options: object): void;
  join(channel: string, options?: object): Promise<void>;
  /** Posts numbered messages, every so many milliseconds, each of so many bytes. */
  post(from: string, count: number, options?: { first?: number; every?: number; padding?: number }): Promise<void>;
  /** Publishes on any channel, and says what became of it. */
  publish(channel: string, data: unknown): Promise<string>;
  /** Waits for so many messages, and returns all. */
  heard(count: number, patience?: number): Promise<string[]>;
  /** Waits until it is so. */
  until(wanted: Partial<Status>, patience?: number): Promise<void>;
  status(): Status;
  /** Every change of the connection, with its time in milliseconds. */
  states(): (Pick<Status, "state" | "transport"> & { reason: string; at: number })[];
}

type Call<Method> = Method extends (...input: infer Input) => infer Output
  ? (...input: Input) => Promise<Awaited<Output>>
  : never;

export type Machine = { page: EnginePage } & { [Name in keyof MachinePage]: Call<MachinePage[Name]> };

const METHODS = [
  "start",
  "join",
  "post",
  "publish",
  "heard",
  "until",
  "status",
  "states",
] as const satisfies (keyof MachinePage)[];

/** The page's functions, called from here. */
export function machineOf(page: EnginePage): Machine {
  const call = (name: keyof MachinePage, input: unknown[]): Promise<unknown> =>
    page.evaluate(([name, input]) => (self.machine[name] as (...input: unknown[]) => unknown)(...input), [name, input] as const);
  const methods = METHODS.map((name) => [name, (...input: unknown[]) => call(name, input)]);
  return { page, ...(Object.fromEntries(methods) as Omit<Machine, "page">) };
}

/** Opens another tab of a profile, or the first of a new one, and connects it. */
export async function startMachine(
  where: EngineBrowser | EngineContext,
  site: { port: number },
  broker: string,
  options: object = {},
): Promise<Machine> {
  const context = "newContext" in where ? await where.newContext() : where;
  const machine = machineOf(await openPage(context, `http://localhost:${site.port}/machine.html`));
  await machine.start(broker, options);
  return machine;
}

/** What a machine posts, as others hear it. */
export const posts = (from: string, count: number): string[] => Array.from({ length: count }, (_, number) => `${from} ${number}`);

/** Waits until a machine has heard a message. */
export async function heardUntil(machine: Machine, message: string): Promise<string[]> {
  for (let count = 1; ; count++) {
    const heard = await machine.heard(count);
    if (heard.includes(message)) return heard;
    if (heard.length < count) throw new Error(`not heard: ${message}`);
    count = heard.length;
  }
}

declare global {
  interface Window {
    machine: MachinePage;
    /** Compares what comes with all values that this engine has, or that all have, from now on. */
    compare(inAllEngines?: boolean): Promise<void>;
    /** What was different. */
    failures(): Promise<string[]>;
    /** Sends all values; returns how many. */
    sendAll(inAllEngines?: boolean): Promise<number>;
  }
}
