/** The channels of a session, with a session of paper: what was refused, kicked or left does not touch what came later. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Commands } from "../src/commands.js";
import type { Command, Frame } from "../src/frames.js";
import { withDefaults } from "../src/settings.js";
import { type ChannelListener, Subscriptions } from "../src/subscriptions.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

class Ear implements ChannelListener {
  readonly told: string[] = [];
  frame({ type, offset }: Frame): void {
    this.told.push(`${type} ${offset}`);
  }
  joined(): void {
    this.told.push("joined");
  }
  refused(error: unknown): void {
    this.told.push(String(error));
  }
  status(): void {}
}

function setUp() {
  const sent: Command[] = [];
  const commands = new Commands((those) => void sent.push(...those));
  const subscriptions = new Subscriptions(withDefaults({}), {
    commands,
    isOpen: () => true,
    send: (those) => void sent.push(...those),
    joinElsewhere: () => {},
    denied: () => {},
  });
  /** Answers what was sent last. */
  const answer = (fields: Partial<Frame>): void => commands.settle({ type: "subscribed", id: sent.at(-1)!.id!, ...fields });
  const refuse = (): void => answer({ type: "error", code: "overloaded", message: "", retryable: true, retry_after_ms: 100 });
  const publish = (offset: number): boolean => subscriptions.frame({ type: "message", channel: "news", epoch: "e", offset });
  return { sent, subscriptions, answer, refuse, publish };
}

test("a listener that was refused and has left does not take the channel from those who come later", () => {
  const { sent, subscriptions, answer, refuse, publish } = setUp();
  const [gone, ear] = [new Ear(), new Ear()];
  subscriptions.join("news", gone, {});
  refuse();
  subscriptions.leave("news", gone);
  subscriptions.join("news", ear, {});
  answer({ cursor: "e-0" });
  vi.advanceTimersByTime(100);
  expect(publish(1)).toBe(true);
  expect(ear.told).toEqual(["joined", "message 1"]);
  expect(sent.map(({ type }) => type)).toEqual(["subscribe", "subscribe"]);
});

test("a channel that somebody was taken from is not asked for again, however it was asked for before", () => {
  const { sent, subscriptions, refuse } = setUp();
  const ear = new Ear();
  subscriptions.join("news", ear, {});
  refuse();
  subscriptions.frame({ type: "unsubscribed", channel: "news", code: "kicked" });
  vi.advanceTimersByTime(100);
  expect(ear.told).toEqual(["WidecastError: unsubscribed: kicked"]);
  expect(sent).toHaveLength(1);
});
