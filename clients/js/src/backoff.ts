import type { ConnectionOptions } from "./api.js";

/** How long to wait before connecting again. */
export type BackoffOptions = Required<Pick<ConnectionOptions, "minDelay" | "maxDelay" | "maxAttempts">>;

/**
 * Exponential backoff with full jitter: any time up to the longest, so that clients that lost their broker together do not
 * come back together.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  #attempts = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The wait before the next attempt; none when there have been enough. */
  next(): number | undefined {
    const { minDelay, maxDelay, maxAttempts } = this.#options;
    if (this.#attempts >= maxAttempts) return undefined;
    return Math.random() * Math.min(maxDelay, minDelay * 2 ** this.#attempts++);
  }

  /** An attempt has succeeded. */
  reset(): void {
    this.#attempts = 0;
  }
}
