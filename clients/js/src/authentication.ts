/** Proves to the broker who this is: when a session begins, when the broker asks for it, and before the proof expires. */
import type { TokenSource } from "./api.js";
import { WidecastError } from "./error.js";
import { command } from "./frames.js";

type Token = string | undefined;

export interface AuthenticationOptions {
  /** A token that proves to the broker who this is, or what fetches one each time it is needed. */
  token?: TokenSource | undefined;
  /** A source that fails is asked again within this time; a proof is not renewed sooner. */
  maxDelay: number;
}

/** What a proof is for. */
export interface Session {
  nextCommand(): number;
  send(commands: Uint8Array<ArrayBuffer>[]): void;
  /** What waits may go. */
  admitted(): void;
  /** There is no proof, and why the broker does not go on without one, if it does not. */
  denied(error: unknown, required: string | undefined): void;
}

/** When a proof is renewed, of the time for which it holds. */
const RENEWAL = 0.85;
/** The longest time that a timer can wait. */
const LONGEST_TIMER = 2 ** 31 - 1;

export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #session: Session;
  /** Whether commands may go. */
  isAdmitted = false;
  /** The command with the proof, from when its token is looked for until it is answered. */
  command: number | undefined;
  /** Why the broker insists. */
  #required: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #waiting: ((error: unknown) => void)[] = [];

  constructor(options: AuthenticationOptions, session: Session) {
    this.#options = options;
    this.#session = session;
  }

  async token(): Promise<Token> {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  /** Resolves when the broker has accepted a proof. */
  proved(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push((error) => (error ? reject(error) : resolve())));
  }

  /** The session has ended, for good if there is an error. */
  end(error?: unknown): void {
    clearTimeout(this.#timer);
    this.isAdmitted = false;
    this.command = this.#required = undefined;
    if (error) this.#tell(error);
  }

  /** The broker does not go on without a proof. */
  require(reason: string): void {
    this.#required = reason;
    this.isAdmitted = false;
    if (!this.command) void this.prove();
  }

  async prove(): Promise<void> {
    clearTimeout(this.#timer);
    const id = (this.command = this.#session.nextCommand());
    let token: Token;
    let error: unknown;
    try {
      token = await this.token();
    } catch (thrown) {
      error = thrown;
    }
    // Another attempt has begun, or the session has ended.
    if (id !== this.command) return;
    if (token !== undefined) return this.#session.send([command({ type: "authenticate", id, token })]);
    const isMissed = this.#required || this.#waiting.length;
    this.settle(error ?? (isMissed && new WidecastError("unauthorized", "there is no token")), !!error);
  }

  /** How it went: no error is success. `again`: it may go better later. */
  settle(error: unknown, again = false, expiresAt = 0): void {
    this.command = undefined;
    const isNews = !this.isAdmitted || this.#waiting.length;
    this.#tell(error);
    const { token, maxDelay } = this.#options;
    const life = again ? Math.random() * maxDelay : Math.max((expiresAt * 1000 - Date.now()) * RENEWAL, maxDelay);
    if (again || (expiresAt && typeof token === "function")) {
      this.#timer = setTimeout(() => void this.prove(), Math.min(life, LONGEST_TIMER));
    }
    if (error) {
      this.#session.denied(error, again ? undefined : this.#required);
      // A broker may do without a proof; if it does not, it says so.
      if (again || this.#required || this.isAdmitted) return;
    }
    this.isAdmitted = true;
    if (isNews) this.#session.admitted();
  }

  #tell(error: unknown): void {
    for (const tell of this.#waiting.splice(0)) tell(error);
  }
}
