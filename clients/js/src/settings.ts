/** The options of a connection, each with a value where there is a default. */
import type { ConnectionOptions } from "./api.js";

const DEFAULTS = {
  minDelay: 1000,
  maxDelay: 30_000,
  maxAttempts: Infinity,
  connectTimeout: 4000,
  replyTimeout: 8000,
  upgradeDelay: 30_000,
  queueMessages: 10_000,
  queueBytes: 64 * 1024 * 1024,
  batchDelay: 0,
  batchBytes: 65_536,
  idleTimeout: 5000,
  share: true,
  compress: 4096 as number | false,
};

export type Settings = ConnectionOptions & typeof DEFAULTS;

/** An option that is undefined has its default, as one that is not there. */
export function withDefaults(options: ConnectionOptions): Settings {
  const set = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...DEFAULTS, ...set };
}
