/** One session for many: the connections of several tabs use it as if each had one of its own. */
import type { Command, Frame } from "./frames.js";
import type { Dial, Line, LineListener } from "./line.js";
import { type Host, Subscription, type Wish } from "./subscription.js";

/** The ids of a connection's commands are so many in a row, by which an answer finds its way; the first of all are the hub's own. */
export const COMMAND_IDS = 2 ** 22;

/** The wishes of a client's `subscribe`, and the number by which it knows the answer. */
interface Ask extends Wish {
  id: number;
}

type Channel = Subscription<LineListener, Ask>;

export class SessionHub implements LineListener {
  readonly line: Line;
  /** The clients that use the session, and which ids they have. */
  readonly #clients = new Map<LineListener, number>();
  readonly #subscriptions = new Map<string, Channel>();
  /** The functions that take the answers to the subscriptions' questions. */
  readonly #asked = new Map<number, (answer: Frame) => void>();
  #lastCommand = 0;
  #welcome: Frame | undefined;

  constructor(dial: Dial, retry: () => void) {
    this.line = dial(this, retry);
  }

  /** Whether the line has ever been open. */
  get hasOpened(): boolean {
    return !!this.#welcome;
  }

  add(client: LineListener): void {
    this.#clients.set(client, 0);
    client.changed("");
    if (this.line.state === "open") client.opened(this.#welcome!);
  }

  remove(client: LineListener): void {
    this.#clients.delete(client);
    for (const subscription of this.#subscriptions.values()) subscription.remove(client);
  }

  /** Has a client take everything up again. */
  restart(client: LineListener): void {
    this.remove(client);
    this.add(client);
  }

  close(): void {
    this.#clients.clear();
    this.line.close("");
  }

  /** Takes a client's commands. While the line is not open they are lost: they come again when it is. */
  send(client: LineListener, commands: Command[]): void {
    this.#send(
      commands.filter(({ type, id, channel, cursor, history, token }) => {
        if (id) this.#clients.set(client, slot(id));
        if (type !== "subscribe" && type !== "unsubscribe") return true;
        const subscription = this.#subscriptions.get(channel!) ?? new Subscription(channel!, this.#host);
        this.#subscriptions.set(channel!, subscription);
        // A client that has joined shows another token, and stays where it is.
        const isRenewal = token && !cursor && !history && subscription.readers.includes(client);
        if (type === "unsubscribe") subscription.remove(client);
        else if (!isRenewal) subscription.add(client, { id: id!, cursor, history, token });
        return isRenewal;
      }),
    );
  }

  opened(welcome: Frame): void {
    this.#welcome = welcome;
    this.#forget();
    for (const client of this.#clients.keys()) client.opened(welcome);
  }

  changed(reason: string): void {
    for (const client of this.#clients.keys()) client.changed(reason);
  }

  frame(frame: Frame): void {
    const { id, channel, type } = frame;
    const asked = this.#asked.get(id!);
    const subscription = this.#subscriptions.get(channel!);
    if (asked) {
      this.#asked.delete(id!);
      asked(frame);
    } else if (type === "message" || type === "gap") {
      subscription?.frame(frame);
    } else if (type === "auth_required" && channel) {
      // One token is enough for all.
      subscription?.readers[0]?.frame(frame);
    } else {
      if (type === "unsubscribed") {
        // What was asked before is answered later, when there may be another.
        subscription?.end();
        this.#subscriptions.delete(channel!);
      }
      for (const [client, own] of this.#clients) if (id === undefined || slot(id) === own) client.frame(frame);
    }
  }

  /** Stands between the subscriptions and the session. */
  readonly #host: Host<LineListener, Ask> = {
    isOpen: () => this.line.state === "open",
    ask: (question, answered) => {
      const id = (this.#lastCommand = (this.#lastCommand % (COMMAND_IDS - 1)) + 1);
      this.#asked.set(id, answered);
      this.#send([{ ...question, id }]);
    },
    joined: (client, { id }, begin) => client.frame({ type: "subscribed", id, ...begin }),
    refused: (client, { id }, answer, subscription, isFirst) => {
      subscription.remove(client);
      if (isFirst) client.frame({ ...answer, id });
      else this.restart(client);
    },
    left: (subscription, isJoined) => {
      const { channel } = subscription;
      // It leaves once more when a client whose question was refused has begun another.
      if (this.#subscriptions.get(channel) !== subscription) return;
      this.#subscriptions.delete(channel);
      if (isJoined) this.#send([{ type: "unsubscribe", channel }]);
    },
  };

  #forget(): void {
    this.#subscriptions.clear();
    this.#asked.clear();
  }

  #send(commands: Command[]): void {
    if (commands.length && this.line.state === "open") this.line.send(commands);
  }
}

function slot(id: number): number {
  return Math.floor(id / COMMAND_IDS);
}
