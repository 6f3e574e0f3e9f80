/** Proves to the broker who the user is: when a session begins, when the broker asks for it, and before the proof expires. */
import type { TokenSource } from "./api.js";
import { WidecastError } from "./error.js";
import type { Commands } from "./commands.js";

type Token = string | undefined;

export interface AuthenticationOptions {
  /** A token that proves to the broker who the user is, or a function that fetches one each time it is needed. */
  token?: TokenSource | undefined;
  /** A source that fails is asked again within this time; a proof is not renewed sooner. */
  maxDelay: number;
}

/** The session for which the user is proved. */
export interface Session {
  readonly commands: Commands;
  /** Commands that wait may go. */
  admitted(): void;
  /** There is no proof, or the broker does not accept it. */
  denied(error: unknown): void;
  /** The broker has refused something for the lack of a proof, and the page can be asked for one. */
  missed(reason: string): void;
}

/** The part of a proof's time after which it is renewed. */
const RENEWAL = 0.85;
/** Eleven days: a timer that is to wait for more than twice as long fires at once. */
const LONGEST_TIMER = 1e9;

export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #session: Session;
  /** Whether commands may go. */
  isAdmitted = false;
  /** Who the broker says the user is. */
  user: string | undefined;
  /** The present attempt, from when its token is looked for until the proof is answered. */
  #attempt: object | undefined;
  /** Why the broker has asked for a proof. */
  #required: string | undefined;
  /** Whether the page was asked for a token since the last attempt. */
  #isMissed = false;
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
    this.#attempt = this.#required = this.user = undefined;
    if (error) this.#tell(error);
  }

  /** The broker asks for a proof: the last one ends, or has ended. Commands wait until there is one, or it is known that there is none. */
  require(reason: string): void {
    this.#required = reason;
    this.isAdmitted = false;
    if (!this.#attempt) void this.prove();
  }

  /** The broker has refused something for the lack of a proof. */
  miss(reason: string): void {
    if (!this.#isMissed) this.#session.missed(reason);
    this.#isMissed = true;
  }

  async prove(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isMissed = false;
    const attempt = (this.#attempt = {});
    let token: Token;
    let error: unknown;
    try {
      token = await this.token();
    } catch (thrown) {
      error = thrown;
    }
    // Another attempt has begun, or the session has ended.
    if (attempt !== this.#attempt) return;
    if (token !== undefined) {
      return this.#session.commands.ask(
        { type: "authenticate", token },
        ({ retryable, expires_at, retry_after_ms, user }, error) => {
          if (attempt !== this.#attempt) return;
          // The broker keeps to the last proof that it has accepted.
          if (!error) this.user = user;
          this.#settle(error, retryable, expires_at, retry_after_ms);
        },
      );
    }
    const isMissed = this.#required || this.#waiting.length;
    this.#settle(error ?? (isMissed && new WidecastError("unauthorized", "there is no token")), !!error);
  }

  /** Takes the outcome of an attempt: without an error it has succeeded. `again` says that another attempt may succeed later. */
  #settle(error: unknown, again = false, expiresAt = 0, delay = Math.random() * this.#options.maxDelay): void {
    this.#attempt = undefined;
    const isNews = !this.isAdmitted || (!error && this.#waiting.length);
    this.#tell(error);
    const { token, maxDelay } = this.#options;
    const life = again ? delay : Math.max((expiresAt * 1000 - Date.now()) * RENEWAL, maxDelay);
    if (again || (expiresAt && typeof token === "function")) {
      this.#timer = setTimeout(() => void this.prove(), Math.min(life, LONGEST_TIMER));
    }
    if (error) this.#session.denied(error);
    if (again) return;
    if (error && this.#required) {
      this.user = undefined;
      this.miss(this.#required);
    }
    // The session goes on without a proof: a command that needs one is refused with the reason.
    this.#required = undefined;
    this.isAdmitted = true;
    if (isNews) this.#session.admitted();
  }

  #tell(error: unknown): void {
    for (const tell of this.#waiting.splice(0)) tell(error);
  }
}
