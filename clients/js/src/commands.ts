/** Numbers the commands of a connection, and finds for each answer the function that waits for it. */
import { WidecastError } from "./error.js";
import type { Command, Frame } from "./frames.js";
import { COMMAND_IDS } from "./session_hub.js";

/** Hears the answer to a command, and the error that it is, if it is one; nothing if the session ends before. */
export type Answered = (answer: Frame, error: WidecastError | undefined) => void;

export class Commands {
  readonly #send: (commands: Command[]) => void;
  readonly #waiting = new Map<number, Answered>();
  /** Ids are from a range at random, in which none of another tab on a shared connection is; they never leave it. */
  readonly #first = Math.ceil(Math.random() * 2 ** 30) * COMMAND_IDS;
  #last = 0;

  constructor(send: (commands: Command[]) => void) {
    this.#send = send;
  }

  /** The command with a number of its own, by which its answer finds the function that waits for it. */
  numbered(command: Command, answered: Answered): Command {
    this.#last = (this.#last + 1) % COMMAND_IDS;
    const id = this.#first + this.#last;
    this.#waiting.set(id, answered);
    return { ...command, id };
  }

  ask(command: Command, answered: Answered): void {
    this.#send([this.numbered(command, answered)]);
  }

  /** An answer has come. */
  settle(answer: Frame): void {
    const { type, id, code, message, retryable } = answer;
    const answered = this.#waiting.get(id!);
    this.#waiting.delete(id!);
    answered?.(answer, type === "error" ? new WidecastError(code!, message!, retryable) : undefined);
  }

  /** No command that was asked will be answered. */
  forget(): void {
    this.#waiting.clear();
  }
}
