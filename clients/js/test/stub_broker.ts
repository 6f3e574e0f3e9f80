/** A broker that knows tokens, as far as a client can tell: sessions over WebSocket, one log for each channel. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { decode, encode } from "@msgpack/msgpack";
import { type WebSocket, WebSocketServer } from "ws";

interface Frame {
  [field: string]: unknown;
  type: string;
  id?: number;
}

interface Session {
  socket: WebSocket;
  sender: string | null;
  isProved: boolean;
  channels: Set<string>;
}

export class StubBroker {
  /** All commands, as they came; an array of what came in one frame. */
  readonly received: Frame[][] = [];
  /** What a token is answered with. */
  judge: (token: string) => Omit<Frame, "id"> = () => ({ type: "authenticated" });
  /** What a command is answered with instead, if something is returned. */
  refuse: (frame: Frame) => Omit<Frame, "id"> | undefined = () => undefined;
  /** Whether sessions begin without the right to anything. */
  isStrict = true;
  readonly #server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  readonly #sessions = new Set<Session>();
  readonly #logs = new Map<string, Frame[]>();
  readonly #senders = new Map<Frame, string | null>();

  static async start(): Promise<StubBroker> {
    const stub = new StubBroker();
    stub.#server.on("connection", (socket, { url }) => {
      stub.#open(socket, new URL(url!, "http://stub").searchParams.get("sender"));
    });
    await once(stub.#server, "listening");
    return stub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** All commands of a kind. */
  commands(type: string): Frame[] {
    return this.received.flat().filter((frame) => frame.type === type);
  }

  /** Takes all rights from all sessions: they hear nothing until they have proved anew who they are. */
  demand(reason: string): void {
    for (const session of this.#sessions) {
      session.isProved = false;
      this.#send(session, { type: "auth_required", reason });
      for (const channel of session.channels) this.#send(session, { type: "unsubscribed", channel, code: "unauthorized" });
      session.channels.clear();
    }
  }

  /** Takes all sessions from a channel. */
  kick(channel: string): void {
    for (const session of this.#sessions) {
      session.channels.delete(channel);
      this.#send(session, { type: "unsubscribed", channel, code: "kicked" });
    }
  }

  /** Publishes as somebody else. */
  publish(channel: string, data: unknown): void {
    this.#publish(undefined, { type: "publish", channel, data });
  }

  cut(): void {
    for (const { socket } of this.#sessions) socket.terminate();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #open(socket: WebSocket, sender: string | null): void {
    const session: Session = { socket, sender, isProved: !this.isStrict, channels: new Set() };
    this.#sessions.add(session);
    socket.on("close", () => this.#sessions.delete(session));
    socket.on("message", (bytes: Buffer) => {
      const frames = [decode(bytes)].flat() as Frame[];
      this.received.push(frames);
      for (const frame of frames) this.#answer(session, frame);
    });
    this.#send(session, {
      type: "welcome",
      session: "s".repeat(32),
      heartbeat_ms: 25_000,
      limits: { message_bytes: 1e6, channels: 9 },
    });
    if (this.isStrict) this.#send(session, { type: "auth_required", reason: "log in, please" });
  }

  #answer(session: Session, frame: Frame): void {
    const reply = (type: string, fields: object = {}): void => this.#send(session, { type, id: frame.id, ...fields });
    const channel = frame["channel"] as string;
    const refusal = this.refuse(frame);
    if (refusal) return this.#send(session, { id: frame.id, ...refusal });
    if (frame.type === "authenticate") {
      const verdict = this.judge(frame["token"] as string);
      session.isProved ||= verdict.type === "authenticated";
      return this.#send(session, { id: frame.id, ...verdict });
    }
    if (!session.isProved) return reply("error", { code: "unauthorized", message: "who are you?", retryable: false });
    const log = this.#log(channel);
    if (frame.type === "subscribe") {
      const [epoch, heard] = String(frame["cursor"] ?? `e-${log.length}`).split("-");
      reply("subscribed", { channel, cursor: `${epoch}-${heard}`, recovered: true });
      session.channels.add(channel);
      for (const message of log.slice(Number(heard))) this.#deliver(message, session);
    } else if (frame.type === "history") {
      reply("history", { channel, messages: frame["limit"] === 0 ? [] : log, cursor: `e-${log.length}` });
    } else if (frame.type === "publish") {
      const { offset, isNew } = this.#publish(session, frame);
      reply("published", { channel, offset, epoch: "e", duplicate: !isNew });
    }
  }

  #publish(from: Session | undefined, { channel, data, message_id }: Frame): { offset: number; isNew: boolean } {
    const log = this.#log(channel as string);
    const known = log.find((message) => message_id !== undefined && message["message_id"] === message_id);
    if (known) return { offset: known["offset"] as number, isNew: false };
    const offset = log.length + 1;
    const message = { type: "message", channel, data, message_id, origin: "", offset, epoch: "e", timestamp: 0 };
    log.push(message);
    if (from) this.#senders.set(message, from.sender);
    for (const session of this.#sessions) if (session.channels.has(channel as string)) this.#deliver(message, session);
    return { offset, isNew: true };
  }

  #deliver(message: Frame, session: Session): void {
    if (this.#senders.get(message) !== session.sender) this.#send(session, message);
  }

  #log(channel: string): Frame[] {
    const log = this.#logs.get(channel) ?? [];
    this.#logs.set(channel, log);
    return log;
  }

  #send({ socket }: Session, frame: object): void {
    socket.send(encode(frame, { ignoreUndefined: true }));
  }
}
