import { expect, test } from "vitest";
import { type Entry, Outbox, type Post } from "../src/outbox.js";

test("a post that has to be sent again is not overtaken", () => {
  const outbox = new Outbox({ queueMessages: 10, queueBytes: 1000 }, () => {});
  const post = (id: string): Post => ({
    id,
    channel: "news",
    event: undefined,
    encoded: { bytes: new Uint8Array(1), ready: undefined, size: 1 },
    resolve() {},
    reject() {},
  });
  for (const id of ["a", "b"]) outbox.add(post(id));
  const sent = [outbox.next(), outbox.next()] as Entry[];
  expect(sent.map(({ id }) => id)).toEqual(["a", "b"]);
  for (const entry of sent) outbox.hold(entry);
  outbox.add(post("c"));
  expect(outbox.next()).toBeUndefined();
  outbox.resume();
  expect([outbox.next()?.id, outbox.next()?.id, outbox.next()?.id]).toEqual(["a", "b", "c"]);
});
