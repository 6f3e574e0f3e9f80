/** One channel of a session for several readers, with a broker of paper that answers when it is told to. */
import { describe, expect, test } from "vitest";
import type { Frame } from "../src/frames.js";
import { type Host, type Question, type Reader, Subscription, type Wish } from "../src/subscription.js";

/** Somebody who listens: what was heard, each message by its place. */
class Ear implements Reader {
  readonly heard: string[] = [];
  /** As far as the channel reached when it came. */
  since = "";
  constructor(readonly wish: Wish) {}

  frame({ type, cursor }: Frame): void {
    this.heard.push(type === "message" ? cursor! : `${type} ${cursor}`);
  }
}

/** A broker with one channel, and a session to it: what was asked, and what is on its way back. */
class Paper implements Host<Ear, Wish> {
  epoch = 1;
  count = 0;
  /** The oldest message that the history has. */
  oldest = 1;
  /** Whether there is no history, and no cursor counts. */
  isEphemeral = false;
  readonly subscription: Subscription<Ear> = new Subscription("news", this);
  readonly questions: [Question, (answer: Frame) => void][] = [];
  readonly answers: (() => void)[] = [];
  /** All that was asked. */
  readonly asked: Question[] = [];
  hasLeft = false;
  #isJoined = false;

  get end(): string {
    return `${this.epoch}-${this.count}`;
  }

  add(wish: Wish = {}): Ear {
    const reader = new Ear(wish);
    reader.since = this.end;
    this.hasLeft = false;
    this.subscription.add(reader, wish);
    return reader;
  }

  publish(): void {
    this.count++;
    if (this.#isJoined) this.#send(this.count);
  }

  /** Answers the oldest question. */
  answer(): void {
    const [question, answered] = this.questions.shift()!;
    if (question.type === "history") return this.#reply(answered, this.end);
    const [epoch, offset] = question.cursor?.split("-").map(Number) ?? [];
    const recovered = !question.cursor || (epoch === this.epoch && offset! >= this.oldest - 1 && offset! <= this.count);
    const past = Math.max(this.count - (question.history ?? 0), this.oldest - 1);
    const from = question.cursor ? (recovered ? offset! : this.count) : past;
    this.#isJoined = true;
    this.#reply(answered, `${this.epoch}-${from}`, recovered);
    for (let i = from + 1; i <= this.count; i++) this.#send(i);
  }

  /** Lets the next of what is on its way arrive. */
  arrive(): void {
    this.answers.shift()?.();
  }

  /** Lets all happen that waits. */
  settle(): void {
    while (this.questions.length + this.answers.length) this.answers.length ? this.arrive() : this.answer();
  }

  reconnect(): void {
    this.#isJoined = false;
    this.questions.length = this.answers.length = 0;
    this.subscription.reset();
  }

  restart(): void {
    this.epoch++;
    this.count = 0;
    this.oldest = 1;
    this.reconnect();
  }

  #reply(answered: (answer: Frame) => void, cursor: string, recovered = true): void {
    this.answers.push(() => answered({ type: "", cursor, recovered, ephemeral: this.isEphemeral }));
  }

  #send(offset: number): void {
    const { epoch } = this;
    this.answers.push(() => this.subscription.frame({ type: "message", epoch: `${epoch}`, offset }));
  }

  isOpen = (): boolean => true;
  ask(question: Question, answered: (answer: Frame) => void): void {
    this.asked.push(question);
    this.questions.push([question, answered]);
  }
  joined(reader: Ear, _: Wish, { cursor, recovered }: { cursor: string; recovered: boolean }): void {
    reader.heard.push(`joined ${cursor}`);
    if (!recovered) reader.heard.push(`gap ${cursor}`);
  }
  refused(reader: Ear, _: Wish, { code }: Frame): void {
    reader.heard.push(code!);
  }
  left(_: unknown, isJoined: boolean): void {
    this.hasLeft = true;
    this.#isJoined &&= !isJoined;
  }
}

/** A broker with so many messages, and a reader who has joined before them. */
function setUp(count: number, isEphemeral = false): { paper: Paper; first: Ear } {
  const paper = new Paper();
  paper.isEphemeral = isEphemeral;
  const first = paper.add();
  paper.settle();
  for (let i = 0; i < count; i++) paper.publish();
  paper.settle();
  first.heard.length = 0;
  paper.asked.length = 0;
  return { paper, first };
}

describe("each reader hears what it wishes, and none hears the past of another", () => {
  const wishes: [string, Wish, string[]][] = [
    ["history", { history: 2 }, ["joined 1-2", "1-3", "1-4", "1-5"]],
    ["more history than there is", { history: 9 }, ["joined 1-0", "1-1", "1-2", "1-3", "1-4", "1-5"]],
    ["a cursor", { cursor: "1-1" }, ["joined 1-1", "1-2", "1-3", "1-4", "1-5"]],
    ["a cursor that wins over history", { cursor: "1-3", history: 4 }, ["joined 1-3", "1-4", "1-5"]],
    ["the cursor of the end", { cursor: "1-4" }, ["joined 1-4", "1-5"]],
    ["a cursor of another epoch", { cursor: "0-2" }, ["joined 1-4", "gap 1-4", "1-5"]],
    ["a cursor that is ahead of the channel", { cursor: "1-99" }, ["joined 1-4", "gap 1-4", "1-5"]],
    ["nothing", {}, ["joined 1-4", "1-5"]],
  ];

  test.each(wishes)("who comes later with %s", (_, wish, expected) => {
    const { paper, first } = setUp(4);
    const reader = paper.add(wish);
    paper.settle();
    paper.publish();
    paper.settle();
    expect(reader.heard).toEqual(expected);
    expect(first.heard).toEqual(["1-5"]);
  });

  test.each(wishes)("who comes first, with %s, and who comes with it", (_, wish, expected) => {
    const paper = new Paper();
    paper.count = 4;
    const [reader, plain, other] = [paper.add(wish), paper.add(), paper.add(wish)];
    paper.settle();
    paper.publish();
    paper.settle();
    expect(reader.heard).toEqual(expected);
    expect(other.heard).toEqual(expected);
    expect(plain.heard).toEqual(["joined 1-4", "1-5"]);
  });
});

test.each<Wish>([{ history: 2 }, { cursor: "1-1" }, { cursor: "other-9" }, {}])(
  "the session stays where it is in a channel that keeps nothing, for whoever comes: %o",
  (wish) => {
    const { paper, first } = setUp(3, true);
    const later = paper.add(wish);
    paper.publish();
    paper.settle();
    expect(paper.asked).toEqual([{ type: "history", channel: "news", limit: 0 }]);
    paper.publish();
    paper.settle();
    expect([first.heard, later.heard]).toEqual([
      ["1-4", "1-5"],
      ["joined 1-4", "1-5"],
    ]);
  },
);

test("many who come at once and want nothing of the past cost one question", () => {
  const { paper } = setUp(3);
  const readers = Array.from({ length: 100 }, () => paper.add());
  paper.settle();
  // The first was asked for alone.
  expect(paper.asked.length).toBe(2);
  for (const reader of readers) expect(reader.heard).toEqual(["joined 1-3"]);
});

test("after a reconnect one question is enough for all who are at the same place", () => {
  const { paper, first } = setUp(3);
  const second = paper.add({ history: 1 });
  paper.settle();
  paper.asked.length = 0;
  paper.reconnect();
  paper.publish();
  paper.settle();
  expect(paper.asked).toMatchObject([{ type: "subscribe", cursor: "1-3" }]);
  expect([first.heard, second.heard]).toEqual([["1-4"], ["joined 1-2", "1-3", "1-4"]]);
});

test("who hears less of the past than others have missed puts no hole into what they hear", () => {
  const { paper, first } = setUp(3);
  const second = paper.add({ history: 1 });
  // Published while the broker is asked, and on its way when the session is moved.
  for (let i = 0; i < 3; i++) paper.publish();
  paper.answers.length = 0;
  paper.settle();
  expect(first.heard).toEqual(["1-4", "1-5", "1-6"]);
  expect(second.heard).toEqual(["joined 1-5", "1-6"]);
});

test("a channel is left with its last reader, also while it is being joined", () => {
  const paper = new Paper();
  const first = paper.add();
  paper.subscription.remove(first);
  expect(paper.hasLeft).toBe(false);
  const second = paper.add();
  paper.settle();
  expect([first.heard, second.heard, paper.hasLeft]).toEqual([[], ["joined 1-0"], false]);
  paper.subscription.remove(second);
  expect(paper.hasLeft).toBe(true);
});

test("the session is listed as long as a reader wishes it", () => {
  const { paper, first } = setUp(2);
  const presence = new Uint8Array([1]);
  const member = paper.add({ presence });
  paper.settle();
  expect(paper.asked.at(-1)).toMatchObject({ type: "subscribe", presence });
  paper.subscription.frame({ type: "join", member: { id: "x", data: presence } });
  paper.publish();
  paper.reconnect();
  paper.settle();
  expect(paper.asked.at(-1)).toMatchObject({ type: "subscribe", presence, cursor: "1-2" });
  paper.subscription.remove(member);
  paper.settle();
  expect(paper.asked.at(-1)).toEqual({
    type: "subscribe",
    channel: "news",
    cursor: "1-3",
    history: undefined,
    presence: undefined,
  });
  expect([first.heard, member.heard]).toEqual([["1-3"], ["joined 1-2", "join undefined", "1-3"]]);
});

/** What a reader has heard has to be everything from where it has joined, once, in order, but for the gaps it was told of. */
function check(paper: Paper, { heard, wish, since }: Ear): void {
  let [place, ...rest] = heard;
  expect(place).toMatch(/^joined/);
  place = place!.slice("joined ".length);
  const [began, asked, came] = [place, wish.cursor, since].map((cursor) => cursor?.split("-").map(Number) ?? []);
  if (!asked!.length && !wish.history && began![0] === came![0]) expect(began![1]).toBeGreaterThanOrEqual(came![1]!);
  if (asked!.length && !rest[0]?.startsWith("gap")) expect(place).toBe(wish.cursor);
  for (const each of rest) {
    const [epoch, offset] = place.split("-").map(Number);
    place = each.startsWith("gap ") ? each.slice("gap ".length) : each;
    if (place === each) expect(each).toBe(`${epoch}-${offset! + 1}`);
  }
  expect(place).toBe(paper.end);
}

test.each(Array.from({ length: 300 }, (_, seed) => seed))(
  "nothing is lost, doubled or heard by others, whatever happens: %i",
  (seed) => {
    let state = seed * 2654435761 + 1;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const paper = new Paper();
    const readers: Ear[] = [];
    const happenings: (() => void)[] = [
      () => paper.publish(),
      () => paper.publish(),
      () => paper.publish(),
      () => paper.questions.length && paper.answer(),
      () => paper.arrive(),
      () => paper.arrive(),
      () => paper.arrive(),
      () =>
        void readers.push(
          paper.add(
            [{}, { history: 1 + random(4) }, { cursor: `${paper.epoch - random(2)}-${random(paper.count + 3)}` }][random(3)],
          ),
        ),
      () => readers.length && random(3) === 0 && paper.subscription.remove(readers.splice(random(readers.length), 1)[0]!),
      () => random(4) === 0 && (paper.oldest = Math.max(1, paper.count - 3 - random(4))),
      () => random(6) === 0 && paper.reconnect(),
      () => random(30) === 0 && paper.restart(),
    ];
    for (let i = 0; i < 300; i++) happenings[random(happenings.length)]!();
    paper.settle();
    for (const reader of readers) check(paper, reader);
  },
);
