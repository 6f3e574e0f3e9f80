/** Commands with callers that wait for their answers: each is asked again in every session, until it is answered. */
import type { Commands } from "./commands.js";
import type { WidecastError } from "./error.js";
import type { Command, Frame } from "./frames.js";

/** The session in which commands are asked. */
export interface Session {
  readonly commands: Commands;
  /** Whether commands may go. */
  isOpen(): boolean;
}

export interface RequestsOptions {
  /** After how long a command is asked again that the broker could not carry out now, unless the broker says when; in milliseconds. */
  minDelay: number;
}

interface Request {
  command: Command;
  resolve(answer: Frame): void;
  reject(error: WidecastError): void;
}

export class Requests {
  readonly #options: RequestsOptions;
  readonly #session: Session;
  readonly #waiting = new Set<Request>();

  constructor(options: RequestsOptions, session: Session) {
    this.#options = options;
    this.#session = session;
  }

  /** How many commands wait for their answer. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Brings the answer to a command. */
  add(command: Command): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const request = { command, resolve, reject };
      this.#waiting.add(request);
      this.#ask(request);
    });
  }

  /** The session is another: commands that were not answered are asked again. */
  rewind(): void {
    for (const request of this.#waiting) this.#ask(request);
  }

  /** Gives all commands up: nothing will be answered any more. */
  abandon(error: WidecastError): void {
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  /** Asks, if that can go now and nothing has answered it meanwhile. */
  #ask(request: Request): void {
    const { commands, isOpen } = this.#session;
    if (!isOpen() || !this.#waiting.has(request)) return;
    commands.ask(request.command, (answer, error) => {
      if (error && (error.retryable || !isOpen()))
        return void setTimeout(() => this.#ask(request), answer.retry_after_ms ?? this.#options.minDelay);
      this.#waiting.delete(request);
      if (error) request.reject(error);
      else request.resolve(answer);
    });
  }
}
