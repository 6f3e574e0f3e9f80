import { expect, test } from "vitest";
import type { Frame } from "../src/frames.js";
import { Subscription } from "../src/subscription.js";

function heardBy(subscription: Subscription): number[] {
  const offsets: number[] = [];
  const nothing = (): void => {};
  const message = ({ offset }: Frame): unknown => offsets.push(offset!);
  subscription.listeners.add({ message, gap: () => offsets.push(NaN), member: nothing, joined: nothing, refused: nothing, status: nothing });
  return offsets;
}
const subscribed = (cursor: string, recovered = true): Frame => ({ type: "subscribed", cursor, recovered });
const message = (offset: number, epoch = "a"): Frame => ({ type: "message", epoch, offset });

test("a channel that is joined anew while messages come doubles none", () => {
  const subscription = new Subscription("news");
  const heard = heardBy(subscription);
  subscription.begin(subscribed("a-0"));
  [1, 2, 3].forEach((offset) => subscription.message(message(offset)));
  // Asked for when 1 had been heard; the broker sends the rest again.
  subscription.begin(subscribed("a-1"));
  [2, 3, 4].forEach((offset) => subscription.message(message(offset)));
  expect(heard).toEqual([1, 2, 3, 4]);
  expect(subscription.cursor).toBe("a-4");
});

test("an epoch that is new begins where the broker says", () => {
  const subscription = new Subscription("news");
  const heard = heardBy(subscription);
  subscription.begin(subscribed("a-0"));
  subscription.message(message(9));
  subscription.begin(subscribed("b-2", false));
  [2, 3].forEach((offset) => subscription.message(message(offset, "b")));
  expect(heard).toEqual([9, NaN, 3]);
});
