import type { Code } from "./codes.js";

/** The error for something that the broker refuses, or the client gives up. */
export class WidecastError extends Error {
  override readonly name = "WidecastError";

  /** One of the broker's codes, or one of the client's own. */
  declare readonly code: Code;
  /** Whether the same can succeed later, without being changed. */
  declare readonly retryable: boolean;

  constructor(code: Code, message: string, retryable = false) {
    super(message);
    Object.assign(this, { code, retryable });
  }
}
