import { expect, test } from "vitest";
import { Outbox, type Post } from "../src/outbox.js";

test("a post that has to be sent again is not overtaken", () => {
  const outbox = new Outbox({ queueMessages: 10, queueBytes: 1000 }, () => {});
  const post = (id: string): Post => ({
    id, channel: "news", event: undefined, encoded: { bytes: new Uint8Array(1), ready: undefined, size: 1 }, resolve() {}, reject() {},
  });
  for (const id of ["a", "b"]) outbox.add(post(id));
  expect([outbox.next(1)?.id, outbox.next(2)?.id]).toEqual(["a", "b"]);
  outbox.hold(1);
  outbox.hold(2);
  outbox.add(post("c"));
  expect(outbox.next(3)).toBeUndefined();
  outbox.resume();
  expect([3, 4, 5].map((command) => outbox.next(command)?.id)).toEqual(["a", "b", "c"]);
});
