/** One session for many: the connections of several tabs use it as if each had one of its own. */
import { command, type Frame, readFrames } from "./frames.js";
import type { Dial, Line, LineListener } from "./line.js";
import { type Host, Subscription, type Wish } from "./subscription.js";

/** The ids of a connection's commands are so many in a row, by which an answer finds its way; the first of all are the hub's own. */
export const COMMAND_IDS = 2 ** 22;

/** What a client's `subscribe` says, and the number by which it knows the answer. */
interface Ask extends Wish {
  id: number;
}

type Channel = Subscription<LineListener, Ask>;

export class Hub implements LineListener {
  readonly line: Line;
  /** Who uses the session, and which ids they have. */
  readonly #clients = new Map<LineListener, number>();
  readonly #subscriptions = new Map<string, Channel>();
  /** What to do with the answers to what the subscriptions have asked. */
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
  send(client: LineListener, commands: Uint8Array<ArrayBuffer>[]): void {
    this.#send(
      commands.filter((bytes) => {
        const { type, id, channel, cursor, history } = readFrames(bytes)[0]!;
        if (id) this.#clients.set(client, slot(id));
        if (!/^(un)?subscribe$/.test(type)) return true;
        const subscription = this.#subscriptions.get(channel!) ?? new Subscription(channel!, this.#host);
        this.#subscriptions.set(channel!, subscription);
        if (type === "subscribe") subscription.add(client, { id: id!, cursor, history });
        else subscription.remove(client);
        return false;
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
    // Who is asked who it is joins all its channels anew.
    if (type === "auth_required") this.#forget();
    const asked = this.#asked.get(id!);
    const subscription = this.#subscriptions.get(channel!);
    if (asked) {
      this.#asked.delete(id!);
      asked(frame);
    } else if (/^(message|gap)$/.test(type)) {
      subscription?.frame(frame);
    } else {
      // The broker has ended it.
      if (type === "unsubscribed") this.#subscriptions.delete(channel!);
      for (const [client, own] of this.#clients) if (id === undefined || slot(id) === own) client.frame(frame);
    }
  }

  /** What stands between the subscriptions and the session. */
  readonly #host: Host<LineListener, Ask> = {
    isOpen: () => this.line.state === "open",
    ask: (question, answered) => {
      const id = (this.#lastCommand = (this.#lastCommand % (COMMAND_IDS - 1)) + 1);
      this.#asked.set(id, answered);
      this.#send([command({ ...question, id })]);
    },
    joined: (client, { id }, begin) => client.frame({ type: "subscribed", id, ...begin }),
    refused: (client, { id }, answer, subscription, isFirst) => {
      subscription.remove(client);
      if (isFirst) client.frame({ ...answer, id });
      else this.restart(client);
    },
    left: ({ channel }, isJoined) => {
      this.#subscriptions.delete(channel);
      if (isJoined) this.#send([command({ type: "unsubscribe", channel })]);
    },
  };

  #forget(): void {
    this.#subscriptions.clear();
    this.#asked.clear();
  }

  #send(commands: Uint8Array<ArrayBuffer>[]): void {
    if (commands.length && this.line.state === "open") this.line.send(commands);
  }
}

function slot(id: number): number {
  return Math.floor(id / COMMAND_IDS);
}
