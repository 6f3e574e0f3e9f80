import type { Code } from "./codes.js";

/** What the broker refuses, and what the client gives up. */
export class WidecastError extends Error {
  override readonly name = "WidecastError";

  constructor(
    /** One of the broker's codes, or one of the client's own. */
    readonly code: Code,
    message: string,
    /** Whether the same can succeed later, without being changed. */
    readonly retryable = false,
  ) {
    super(message);
  }
}
