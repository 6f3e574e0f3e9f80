/** When a connection is tried, asked, given up and bettered: by a clock of our own, over transports of our own. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Backoff, type BackoffOptions } from "../src/backoff.js";
import type { Frame } from "../src/frames.js";
import { Link, type LinkOptions } from "../src/link.js";
import type { Target, TransportName, TransportType } from "../src/transports/index.js";
import type { Listener } from "../src/transports/transport.js";

/** A transport that was opened: what the network does with it is up to the test. */
interface Opened extends Listener {
  name: TransportName;
  sent: number;
  isClosed: boolean;
  welcome(): void;
}

const OPTIONS: LinkOptions & BackoffOptions = {
  minDelay: 1000,
  maxDelay: 30_000,
  maxAttempts: Infinity,
  connectTimeout: 4000,
  replyTimeout: 8000,
  upgradeDelay: 30_000,
};
const HEARTBEAT = 25_000;
const TARGET = { base: new URL("http://broker/"), sender: "", platform: {} } as Target;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function start(names: TransportName[], options: Partial<typeof OPTIONS> = {}, reasons: string[] = []) {
  const opened: Opened[] = [];
  const types = names.map(
    (name): TransportType => ({
      name,
      isLastResort: name === "jsonp",
      available: () => true,
      open(_, listener) {
        const one: Opened = {
          ...listener,
          name,
          sent: 0,
          isClosed: false,
          welcome: () => listener.frames([{ type: "welcome", session: "s", heartbeat_ms: HEARTBEAT }]),
        };
        opened.push(one);
        return { busy: false, send: () => void one.sent++, close: () => void (one.isClosed = true) };
      },
    }),
  );
  const frames: Frame[] = [];
  const all = { ...OPTIONS, ...options };
  const link = new Link(types, TARGET, all, new Backoff(all), {
    opened() {},
    frame: (frame) => void frames.push(frame),
    changed: (reason) => void reasons.push(reason),
  });
  link.open();
  return { link, opened, names: () => opened.map(({ name }) => name), last: () => opened.at(-1)! };
}

const goodbye = (fields: Partial<Frame>): Frame[] => [{ type: "goodbye", code: "shutting_down", ...fields }];

test("waits grow to their bound, and are any time up to it", () => {
  const random = vi.spyOn(Math, "random").mockReturnValue(1);
  const longest = new Backoff(OPTIONS);
  expect(Array.from({ length: 7 }, () => longest.next())).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  longest.reset();
  expect(longest.next()).toBe(1000);
  random.mockReturnValue(0.5);
  const half = new Backoff({ ...OPTIONS, maxAttempts: 2 });
  expect([half.next(), half.next(), half.next()]).toEqual([500, 1000, undefined]);
  random.mockRestore();
});

test("a goodbye decides when to come back", () => {
  const { link, opened, last } = start(["websocket"]);
  last().welcome();
  last().frames(goodbye({ reconnect: true, reconnect_after_ms: 12_345 }));
  last().closed("1001");
  expect(link.state).toBe("waiting");
  vi.advanceTimersByTime(12_344);
  expect(opened.length).toBe(1);
  vi.advanceTimersByTime(1);
  expect(opened.length).toBe(2);
});

test("a goodbye that wants nobody back is the end", () => {
  const { link, opened, last } = start(["websocket"]);
  last().welcome();
  last().frames(goodbye({ reconnect: false }));
  last().closed("4403");
  expect(link.state).toBe("closed");
  vi.advanceTimersByTime(100_000);
  expect(opened.length).toBe(1);
});

test("a transport without a welcome is given up for the next, and so on around", () => {
  const { link, names, last } = start(["websocket", "sse"]);
  vi.advanceTimersByTime(4000);
  expect(names()).toEqual(["websocket", "sse"]);
  last().closed("refused");
  expect(link.state).toBe("waiting");
  vi.advanceTimersByTime(1000);
  expect(names()).toEqual(["websocket", "sse", "websocket"]);
});

test("the transport that worked is the first one next time", () => {
  const { names, opened, last } = start(["websocket", "sse"]);
  opened[0]!.closed("refused");
  last().welcome();
  last().closed("cut");
  vi.advanceTimersByTime(1000);
  expect(names()).toEqual(["websocket", "sse", "sse"]);
});

test("the last resort is not, although it worked", () => {
  const { names, last } = start(["websocket", "jsonp"]);
  last().closed("refused");
  last().welcome();
  last().closed("cut");
  vi.advanceTimersByTime(1000);
  expect(names()).toEqual(["websocket", "jsonp", "websocket"]);
});

test("the last resort is not tried on a server that has answered otherwise", () => {
  const { names, last } = start(["websocket", "stream", "jsonp"]);
  last().closed("refused");
  last().closed("Error: GET was answered 404 <h1>Not here");
  expect(names()).toEqual(["websocket", "stream"]);
});

test("when nothing gets through, the reason is that of each", () => {
  const reasons: string[] = [];
  const { last } = start(["websocket", "poll"], {}, reasons);
  last().closed("refused");
  last().closed("no answer");
  expect(reasons.at(-1)).toBe("no transport gets through to http://broker/: websocket: refused; poll: no answer;");
});

test("a better transport is tried more and more rarely, and taken when it is there", () => {
  const { link, names, opened, last } = start(["websocket", "sse"]);
  opened[0]!.closed("refused");
  const carrier = last();
  carrier.welcome();
  const wait = (ms: number): void => {
    // It lives as long as the tests wait.
    for (let passed = 0; passed < ms; passed += 10_000) {
      vi.advanceTimersByTime(Math.min(10_000, ms - passed));
      if (!carrier.isClosed) carrier.frames([]);
    }
  };
  const delays = [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000];
  for (const [index, delay] of delays.entries()) {
    wait(delay - 1);
    expect(opened.length).toBe(2 + index);
    wait(1);
    expect(opened.length).toBe(3 + index);
    if (index < delays.length - 1) last().closed("refused");
  }
  expect(names().slice(2)).toEqual(delays.map(() => "websocket"));
  expect(carrier.isClosed).toBe(false);
  last().welcome();
  expect([carrier.isClosed, link.transport, link.state]).toEqual([true, "websocket", "open"]);
});

test("silence is asked about after a heartbeat, and given up when nothing is answered", () => {
  const { link, names, last } = start(["websocket", "sse"]);
  last().welcome();
  const carrier = last();
  vi.advanceTimersByTime(HEARTBEAT - 1);
  expect(carrier.sent).toBe(0);
  carrier.frames([]);
  vi.advanceTimersByTime(HEARTBEAT);
  expect(carrier.sent).toBe(1);
  carrier.frames([{ type: "pong", id: 0 }]);
  vi.advanceTimersByTime(HEARTBEAT + 7999);
  expect([carrier.sent, link.state]).toEqual([2, "open"]);
  vi.advanceTimersByTime(1);
  expect([carrier.isClosed, link.state]).toEqual([true, "waiting"]);
  vi.advanceTimersByTime(1000);
  // What let the welcome through and then no more is left for the next.
  expect(names()).toEqual(["websocket", "sse"]);
});

test.each([
  ["the clock is set back", -3_600_000],
  ["the clock is set back by little", -20_000],
])("silence is noticed in its time although %s", (_, shift) => {
  const { link, last } = start(["websocket"]);
  last().welcome();
  vi.setSystemTime(Date.now() + shift);
  vi.advanceTimersByTime(HEARTBEAT);
  expect(last().sent).toBe(1);
  vi.advanceTimersByTime(8000);
  expect(link.state).toBe("waiting");
});

test("the sleep of a machine counts, in which its timer stands still", () => {
  const { link, last } = start(["websocket"]);
  last().welcome();
  const still = vi.spyOn(performance, "now").mockReturnValue(performance.now());
  vi.advanceTimersByTime(HEARTBEAT);
  expect(last().sent).toBe(1);
  vi.advanceTimersByTime(8000);
  expect(link.state).toBe("waiting");
  still.mockRestore();
});

test("an answer may take longer after each silence, until a transport brings more than a beginning", () => {
  const { link, opened, last } = start(["websocket"]);
  /** Opens the next one, which brings a beginning and then nothing; after how many ms it is given up. */
  const silence = (): number => {
    vi.advanceTimersByTime(1000);
    last().welcome();
    last().frames([{ type: "subscribed", channel: "c" }]);
    const begun = Date.now();
    while (link.state === "open") vi.advanceTimersByTime(100);
    return Date.now() - begun - HEARTBEAT;
  };
  expect(Array.from({ length: 4 }, silence)).toEqual([8000, 16_000, 24_000, 32_000]);
  vi.advanceTimersByTime(1000);
  last().welcome();
  vi.advanceTimersByTime(HEARTBEAT + 1000);
  last().frames([{ type: "message", channel: "c" }]);
  last().closed("cut");
  expect(silence()).toBe(8000);
  expect(opened.length).toBe(6);
});

test("a better transport that brings a beginning and no more is tried more and more rarely", () => {
  const { names, last } = start(["websocket", "stream"]);
  last().welcome();
  const waits: number[] = [];
  for (let round = 0; round < 3; round++) {
    while (names().at(-1) === "websocket") vi.advanceTimersByTime(1000);
    const carrier = last();
    carrier.welcome();
    const begun = Date.now();
    for (; !carrier.isClosed; last().name === "websocket" && last().welcome()) {
      vi.advanceTimersByTime(1000);
      carrier.frames([]);
    }
    waits.push(Date.now() - begun);
  }
  expect(waits).toEqual([60_000, 90_000, 120_000]);
});

test("who is woken does not wait any longer", () => {
  const { link, opened, last } = start(["websocket"], { minDelay: 3_600_000, maxDelay: 3_600_000 });
  last().welcome();
  last().closed("cut");
  expect([link.state, opened.length]).toEqual(["waiting", 1]);
  link.check();
  expect([link.state, opened.length]).toEqual(["connecting", 2]);
  last().welcome();
  link.check();
  expect(last().sent).toBe(1);
  vi.advanceTimersByTime(8000);
  expect(link.state).toBe("waiting");
});

test.each([
  ['Error: GET was answered 401 {"title":"x","code":"unauthorized"}', "closed"],
  ["Error: origin_not_allowed: not this page", "closed"],
  ["Error: GET was answered 503 <html>unauthorized</html>", "waiting"],
  ["Error: GET was answered 503 {'code':'kicked'}", "waiting"],
  ["https://kicked.example/client/fallbacks.js was not loaded", "waiting"],
  ["1008 unauthorized", "waiting"],
])("only what the broker refuses for good is not tried again: %s", (reason, state) => {
  const { link, last } = start(["websocket"]);
  last().closed(reason);
  expect(link.state).toBe(state);
  vi.advanceTimersByTime(1000);
  if (link.state === "closed") return;
  last().welcome();
  last().closed(reason);
  expect(link.state).toBe(state);
});

test("who is told when to come again comes no sooner, and by no other transport", () => {
  const reasons: string[] = [];
  const { link, names, last } = start(["websocket", "poll"], { minDelay: 10, maxDelay: 10 }, reasons);
  const refuse = (): void => last().closed('Error: GET was answered 503 Retry-After: 7 {"code":"overloaded"}');
  refuse();
  expect([link.state, names()]).toEqual(["waiting", ["websocket"]]);
  expect(reasons.at(-1)).toContain("overloaded");
  vi.advanceTimersByTime(6999);
  expect(link.state).toBe("waiting");
  vi.advanceTimersByTime(1);
  last().welcome();
  expect(link.state).toBe("open");
  last().closed("Error: POST was answered 429 Retry-After: 3 ");
  vi.advanceTimersByTime(2999);
  expect(link.state).toBe("waiting");
  vi.advanceTimersByTime(1);
  expect(names()).toEqual(["websocket", "websocket", "websocket"]);
});
