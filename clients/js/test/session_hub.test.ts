/** The hub between several tabs and one session, with a line of paper. */
import { describe, expect, test } from "vitest";
import type { Command, Frame } from "../src/frames.js";
import { COMMAND_IDS, SessionHub } from "../src/session_hub.js";
import type { Line, LineListener, LineState } from "../src/line.js";

/** The way to the broker: what was sent, and what the broker says. */
class PaperLine implements Line {
  state: LineState = "connecting";
  transport = "websocket" as const;
  sent: Command[] = [];
  open(): void {}
  suspend(): void {}
  close(): void {}
  check(): void {}
  send(commands: Command[]): void {
    this.sent.push(...commands);
  }
  /** What was sent since this was asked last. */
  take(): Command[] {
    return this.sent.splice(0);
  }
  /** The command that was sent last. */
  get last(): Command {
    return this.sent.at(-1)!;
  }
}

let tabs = 0;

class Tab implements LineListener {
  readonly first = ++tabs * COMMAND_IDS;
  heard: Frame[] = [];
  opens = 0;
  readonly states: LineState[] = [];
  #last = this.first;

  constructor(readonly hub: SessionHub) {
    hub.add(this);
  }

  opened(): void {
    this.opens++;
  }
  changed(): void {
    this.states.push(this.hub.line.state);
  }
  frame(frame: Frame): void {
    this.heard.push(frame);
  }

  /** Sends a command; returns its id. */
  send(command: Command): number {
    const id = ++this.#last;
    this.hub.send(this, [{ ...command, id }]);
    return id;
  }
  subscribe(fields: Partial<Command> = {}): number {
    return this.send({ type: "subscribe", channel: "news", ...fields });
  }
  unsubscribe(): void {
    this.hub.send(this, [{ type: "unsubscribe", channel: "news" }]);
  }
  /** The offsets of the messages, and the cursors of answers and gaps, since this was asked last. */
  take(): (number | string)[] {
    return this.heard.splice(0).map(({ type, offset, cursor }) => (type === "message" ? offset! : `${type} ${cursor}`));
  }
}

function setUp(count: number): { line: PaperLine; hub: SessionHub; all: Tab[] } {
  const line = new PaperLine();
  const hub = new SessionHub(
    () => line,
    () => {},
  );
  line.state = "open";
  hub.opened({ type: "welcome" });
  return { line, hub, all: Array.from({ length: count }, () => new Tab(hub)) };
}

const message = (offset: number, epoch = "e"): Frame => ({ type: "message", channel: "news", epoch, offset });
/** What the broker answers to the command that was sent last. */
const subscribed = ({ last }: PaperLine, cursor: string, recovered = true): Frame => ({
  type: "subscribed",
  id: last.id!,
  channel: "news",
  cursor,
  recovered,
});
const refused = ({ last }: PaperLine): Frame => ({ type: "error", id: last.id!, code: "internal", message: "", retryable: true });

/** A tab that has joined the channel, alone, with messages up to an offset. */
function joined(line: PaperLine, hub: SessionHub, tab: Tab, offset: number): void {
  tab.subscribe();
  hub.frame(subscribed(line, "e-0"));
  for (let i = 1; i <= offset; i++) hub.frame(message(i));
  tab.take();
  line.take();
}

test("a tab that comes to an open line is told that it is open", () => {
  const { all } = setUp(1);
  expect(all[0]!.states).toEqual(["open"]);
});

describe("joining", () => {
  test("the first subscription goes to the broker, for who comes later it is asked where the channel ends", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    const id = one.subscribe({ cursor: "e-3", history: 2 });
    expect(line.last).toMatchObject({ type: "subscribe", channel: "news", cursor: "e-3", history: 2 });
    hub.frame(subscribed(line, "e-3"));
    hub.frame(message(4));
    const later = two.subscribe();
    expect(line.last).toMatchObject({ type: "history", channel: "news", limit: 0 });
    hub.frame(message(5));
    hub.frame({ type: "history", id: line.last.id!, channel: "news", cursor: "e-6" });
    for (const offset of [6, 7]) hub.frame(message(offset));
    expect([one.heard[0]!.id, two.heard[0]!.id]).toEqual([id, later]);
    expect(one.take()).toEqual(["subscribed e-3", 4, 5, 6, 7]);
    expect(two.take()).toEqual(["subscribed e-6", 7]);
  });

  test("where the broker is asked comes behind what was posted before", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 0);
    const post: Command = { type: "publish", channel: "news", data: new Uint8Array([1]), id: one.first + 9 };
    hub.send(one, [post]);
    two.subscribe();
    hub.send(one, [post]);
    expect(line.take().map(({ type }) => type)).toEqual(["publish", "history", "publish"]);
  });

  test("a second subscription waits while the first is on its way", () => {
    const { line, hub, all } = setUp(3);
    const [one, two, three] = all as [Tab, Tab, Tab];
    one.subscribe();
    two.subscribe();
    three.subscribe({ cursor: "e-7" });
    expect(line.sent.length).toBe(1);
    hub.frame(subscribed(line, "e-9"));
    hub.frame({ type: "history", id: line.last.id!, channel: "news", cursor: "e-9" });
    expect([one.take(), two.take()]).toEqual([["subscribed e-9"], ["subscribed e-9"]]);
    expect(line.last).toMatchObject({ type: "subscribe", cursor: "e-7" });
    hub.frame(subscribed(line, "e-7"));
    for (const offset of [8, 9, 10]) hub.frame(message(offset));
    expect([one.take(), two.take(), three.take()]).toEqual([[10], [10], ["subscribed e-7", 8, 9, 10]]);
  });

  test("when the first is refused the next one asks for itself", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    const id = one.subscribe();
    two.subscribe();
    hub.frame(refused(line));
    expect(one.heard).toMatchObject([{ type: "error", id, code: "internal" }]);
    expect(line.sent.length).toBe(2);
    hub.frame(subscribed(line, "e-0"));
    hub.frame(message(1));
    expect([one.take().length, two.take()]).toEqual([1, ["subscribed e-0", 1]]);
  });
});

describe("the past", () => {
  test("is heard by who asks for it only, with what comes meanwhile", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 5);
    two.subscribe({ cursor: "e-2" });
    hub.frame(message(6));
    hub.frame(subscribed(line, "e-2"));
    for (let offset = 3; offset <= 7; offset++) hub.frame(message(offset));
    expect(one.take()).toEqual([6, 7]);
    expect(two.take()).toEqual(["subscribed e-2", 3, 4, 5, 6, 7]);
  });

  test("that is lost puts no hole into what others hear", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 5);
    two.subscribe({ cursor: "old-1" });
    // 6 and 7 were published while the session had left the channel to join it anew.
    hub.frame(subscribed(line, "e-7", false));
    expect(two.heard).toMatchObject([{ cursor: "e-7", recovered: false }]);
    expect(line.last).toMatchObject({ type: "subscribe", cursor: "e-5" });
    hub.frame(message(8));
    hub.frame(subscribed(line, "e-5"));
    for (let offset = 6; offset <= 9; offset++) hub.frame(message(offset));
    expect([one.opens, one.take(), two.take()]).toEqual([1, [6, 7, 8, 9], ["subscribed e-7", 8, 9]]);
  });

  test("that both have lost is told to both", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 5);
    two.subscribe({ cursor: "old-1" });
    hub.frame(subscribed(line, "f-7", false));
    hub.frame(subscribed(line, "f-8", false));
    hub.frame(subscribed(line, "f-7"));
    hub.frame(message(8, "f"));
    hub.frame(message(9, "f"));
    expect([one.take(), two.take()]).toEqual([
      ["gap f-8", 9],
      ["subscribed f-7", 8, 9],
    ]);
  });

  test("that is refused costs the others nothing", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 5);
    const id = two.subscribe({ cursor: "e-1" });
    hub.frame(refused(line));
    expect(two.heard).toMatchObject([{ type: "error", id }]);
    expect(line.last).toMatchObject({ cursor: "e-5" });
    hub.frame(subscribed(line, "e-5"));
    hub.frame(message(6));
    expect([one.opens, one.take()]).toEqual([1, [6]]);
  });

  test("that is refused to the others as well has them take everything up anew", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 5);
    two.subscribe({ cursor: "e-1" });
    hub.frame(refused(line));
    hub.frame(refused(line));
    expect([one.opens, two.opens]).toEqual([2, 1]);
  });
});

test("what was asked of a channel that the broker has ended does not touch the one that is joined instead", () => {
  const { line, hub, all } = setUp(2);
  const [one, two] = all as [Tab, Tab];
  joined(line, hub, one, 2);
  two.subscribe({ history: 5 });
  const late = refused(line);
  two.unsubscribe();
  hub.frame({ type: "unsubscribed", channel: "news", code: "engine_unavailable" });
  one.subscribe({ cursor: "e-2" });
  const again = subscribed(line, "e-2");
  hub.frame(late);
  hub.frame(again);
  hub.frame(message(3));
  expect([one.opens, one.take().slice(1)]).toEqual([1, ["subscribed e-2", 3]]);
  expect(line.sent.map(({ type }) => type)).toEqual(["subscribe", "subscribe"]);
});

test("a tab that begins anew as soon as it is refused hears the channel", () => {
  const { line, hub, all } = setUp(1);
  const [one] = all as [Tab];
  one.frame = (frame) => {
    if (frame.type === "error") one.subscribe();
    one.heard.push(frame);
  };
  one.subscribe();
  hub.frame(refused(line));
  hub.frame(subscribed(line, "e-0"));
  hub.frame(message(1));
  expect(one.take().slice(1)).toEqual(["subscribed e-0", 1]);
});

test("a tab is told that a channel keeps nothing", () => {
  const { line, hub, all } = setUp(2);
  const [one, two] = all as [Tab, Tab];
  one.subscribe();
  hub.frame({ ...subscribed(line, "e-3"), ephemeral: true });
  two.subscribe({ history: 5 });
  expect(line.last).toMatchObject({ type: "history", limit: 0 });
  hub.frame({ type: "history", id: line.last.id!, channel: "news", cursor: "e-4" });
  expect(all.map(({ heard }) => heard)).toMatchObject([
    [{ type: "subscribed", cursor: "e-3", ephemeral: true }],
    [{ type: "subscribed", cursor: "e-4", ephemeral: true, recovered: true }],
  ]);
});

describe("leaving", () => {
  test("the channel is left by the last", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 1);
    two.subscribe({ cursor: "e-1" });
    one.unsubscribe();
    hub.frame(message(2));
    expect([line.take(), one.take(), two.take()]).toEqual([[], [], ["subscribed e-1", 2]]);
    hub.remove(two);
    expect(line.take()).toEqual([{ type: "unsubscribe", channel: "news" }]);
  });

  test("while the channel is being joined, and coming back, is in order", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    one.subscribe();
    two.subscribe();
    one.unsubscribe();
    two.unsubscribe();
    hub.frame(subscribed(line, "e-4"));
    expect(line.last).toEqual({ type: "unsubscribe", channel: "news" });
    two.subscribe();
    expect(line.last).toMatchObject({ type: "subscribe" });
    hub.frame(subscribed(line, "e-6"));
    hub.frame(message(7));
    expect([one.take(), two.take()]).toEqual([[], ["subscribed e-6", 7]]);
  });
});

test("answers go to who asked, what concerns the session to all", () => {
  const { line, hub, all } = setUp(2);
  const [one, two] = all as [Tab, Tab];
  const ids = [
    one.send({ type: "publish", channel: "news", data: new Uint8Array([1]) }),
    two.send({ type: "history", channel: "news" }),
  ];
  expect(line.take()).toMatchObject([
    { type: "publish", id: ids[0] },
    { type: "history", id: ids[1] },
  ]);
  for (const id of ids) hub.frame({ type: "published", id });
  hub.frame({ type: "auth_required", reason: "" });
  hub.frame({ type: "pong", id: 0 });
  expect(one.heard).toEqual([
    { type: "published", id: ids[0] },
    { type: "auth_required", reason: "" },
  ]);
  expect(two.heard).toEqual([
    { type: "published", id: ids[1] },
    { type: "auth_required", reason: "" },
  ]);
});

test("a gap is told to those who have not heard what is missing, and a new epoch begins for all", () => {
  const { line, hub, all } = setUp(2);
  const [one, two] = all as [Tab, Tab];
  joined(line, hub, one, 6);
  two.subscribe({ cursor: "e-1" });
  hub.frame(subscribed(line, "e-1"));
  hub.frame({ type: "gap", channel: "news", cursor: "e-5", recovered: false });
  hub.frame(message(6));
  hub.frame(message(7));
  hub.frame(message(1, "f"));
  expect(one.take()).toEqual([7, 1]);
  expect(two.take()).toEqual(["subscribed e-1", "gap e-5", 6, 7, 1]);
});

test("a new session begins with nothing of the old one", () => {
  const { line, hub, all } = setUp(2);
  const [one, two] = all as [Tab, Tab];
  joined(line, hub, one, 3);
  line.state = "waiting";
  one.send({ type: "publish", channel: "news", data: new Uint8Array([1]) });
  expect(line.take()).toEqual([]);
  line.state = "open";
  hub.opened({ type: "welcome" });
  expect([one.opens, two.opens]).toEqual([2, 2]);
  two.subscribe({ cursor: "e-1" });
  expect(line.sent).toMatchObject([{ type: "subscribe", cursor: "e-1" }]);
  hub.frame(subscribed(line, "e-1"));
  hub.frame(message(2));
  expect([one.take(), two.take()]).toEqual([[], ["subscribed e-1", 2]]);
});

test("when a token ends all are told, and only what the broker has ended is joined anew", () => {
  const { line, hub, all } = setUp(2);
  const [one, two] = all as [Tab, Tab];
  joined(line, hub, one, 2);
  hub.frame({ type: "auth_required", reason: "expired" });
  expect(all.map((tab) => tab.heard.splice(0).map(({ type }) => type))).toEqual([["auth_required"], ["auth_required"]]);
  hub.frame(message(3));
  expect(one.take()).toEqual([3]);
  one.subscribe({ cursor: "e-3" });
  expect([line.take(), one.take()]).toEqual([[], ["subscribed e-3"]]);
  hub.frame({ type: "unsubscribed", channel: "news", code: "unauthorized" });
  expect(all.map((tab) => tab.heard.splice(0).map(({ type }) => type))).toEqual([["unsubscribed"], ["unsubscribed"]]);
  one.subscribe({ cursor: "e-3" });
  expect(line.sent).toMatchObject([{ type: "subscribe", channel: "news", cursor: "e-3" }]);
  hub.frame(subscribed(line, "e-3"));
  hub.frame(message(4));
  expect([one.take(), two.take()]).toEqual([["subscribed e-3", 4], []]);
});

describe("tokens for channels", () => {
  const token = "t";

  test("the token of whoever is joined for goes with the question", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    one.subscribe({ token: "first" });
    expect(line.last).toMatchObject({ type: "subscribe", token: "first" });
    hub.frame(subscribed(line, "e-0"));
    two.subscribe({ token: "second", history: 3 });
    expect(line.last).toMatchObject({ type: "subscribe", token: "second", history: 3 });
  });

  test("a tab that has joined renews it, stays where it is, and alone hears the answer", () => {
    const { line, hub, all } = setUp(2);
    const [one, two] = all as [Tab, Tab];
    joined(line, hub, one, 2);
    joined(line, hub, two, 0);
    const id = one.subscribe({ token });
    expect(line.take()).toEqual([{ type: "subscribe", channel: "news", id, token }]);
    hub.frame({ type: "subscribed", id, channel: "news", cursor: "e-2", recovered: true });
    hub.frame(message(3));
    expect(one.take()).toEqual(["subscribed e-2", 3]);
    expect(two.take()).not.toContain("subscribed e-2");
  });

  test("one tab is asked for the next", () => {
    const { line, hub, all } = setUp(2);
    for (const tab of all) tab.subscribe();
    hub.frame(subscribed(line, "e-0"));
    hub.frame({ type: "auth_required", reason: "it ends", channel: "news" });
    const asked = all.map(({ heard }) => heard.filter(({ type }) => type === "auth_required").length);
    expect(asked).toEqual([1, 0]);
  });
});
