/** What an object hears of what this browser and the broker bring, each in its own time. */
import { afterEach, describe, expect, test } from "vitest";
import { encode } from "../src/codec/index.js";
import type { Connection } from "../src/connection.js";
import { Hearing } from "../src/hearing.js";
import { Ear } from "./heard.js";

const BROKER = "http://broker/";
const all: Hearing[] = [];
afterEach(() => all.splice(0).forEach((hearing) => hearing.close()));

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** An object that somebody listens to, with a connection of paper. */
function setUp(queueMessages: number, isLocal = true, ask?: () => Promise<{ cursor: string }>) {
  const object = new EventTarget();
  const ear = new Ear(object);
  const hearing = new Hearing(object, "news", BROKER, !!ask);
  all.push(hearing);
  if (isLocal) hearing.openLocal();
  const connection = { join() {}, leave() {}, state: "open", messageBytes: 1e6, queueMessages, request: ask };
  hearing.join(connection as unknown as Connection, {});
  hearing.keep(true);
  const fromBroker = (who: string, count: number): void => {
    for (const i of numbers(count))
      hearing.frame({ type: "message", message_id: `${who} ${i}`, data: encode(`${who} ${i}`).bytes, cursor: `e-${i + 1}` });
  };
  return { hearing, ear, fromBroker };
}

test("what waits long for the broker is not heard when it brings it, whatever it brings before", () => {
  const { hearing, ear, fromBroker } = setUp(10_000, false);
  for (const i of numbers(10_000)) hearing.post(`own ${i}`, undefined, i);
  fromBroker("far", 12_000);
  fromBroker("own", 10_000);
  expect(ear.data).toEqual(numbers(12_000).map((i) => `far ${i}`));
});

test("so it is with what was heard in this browser at once, and with a longer queue", () => {
  const { hearing, ear, fromBroker } = setUp(20_000);
  for (const i of numbers(20_000)) hearing.post(`own ${i}`, undefined, i);
  for (const i of numbers(5000)) hearing.message([`tab ${i}`, undefined, `tab ${i}`, BROKER], "");
  fromBroker("own", 20_000);
  fromBroker("tab", 5000);
  expect(ear.data).toEqual(numbers(5000).map((i) => `tab ${i}`));
});

test("what the broker has brought is heard once, if the broker or another tab brings it again", () => {
  const { hearing, ear, fromBroker } = setUp(10);
  hearing.post("own 0", undefined, 0);
  for (let round = 0; round < 2; round++) {
    fromBroker("own", 1);
    fromBroker("far", 1);
    hearing.message(["far 0", undefined, "far 0", BROKER], "");
  }
  expect(ear.data).toEqual(["far 0"]);
});

test("what the broker brings sooner than the tab is heard when the tab brings it", () => {
  const [sender, receiver] = [setUp(10), setUp(10)];
  sender.hearing.post("x 0", undefined, "x 0");
  receiver.fromBroker("x", 1);
  receiver.hearing.message(["x 0", undefined, "x 0", BROKER], "");
  receiver.fromBroker("x", 1);
  expect(receiver.ear.data).toEqual(["x 0"]);
});

describe("an object that asks for the past hears this browser", () => {
  const fromTab = (hearing: Hearing, id: string): void => hearing.message([id, undefined, id, BROKER], "");

  test("at once from where the past ends, also what the broker refuses", async () => {
    const { hearing, ear, fromBroker } = setUp(10, true, async () => ({ cursor: "e-2" }));
    hearing.joined("e-0");
    fromTab(hearing, "refused");
    await Promise.resolve();
    expect(ear.data).toEqual([]);
    fromBroker("far", 2);
    expect(ear.data).toEqual(["far 0", "far 1", "refused"]);
    fromTab(hearing, "at once");
    expect(ear.data).toEqual(["far 0", "far 1", "refused", "at once"]);
  });

  test("at once when there is no past", async () => {
    const { hearing, ear } = setUp(10, true, async () => ({ cursor: "e-0" }));
    hearing.joined("e-0");
    fromTab(hearing, "early");
    await expect.poll(() => ear.data).toEqual(["early"]);
  });

  test("at once when the broker does not say where the past ends", async () => {
    const { hearing, ear } = setUp(10, true, () => Promise.reject(new Error("forbidden")));
    fromTab(hearing, "early");
    await expect.poll(() => ear.data).toEqual(["early"]);
  });

  test("where the broker has its messages, if they belong to the past", async () => {
    const { hearing, ear, fromBroker } = setUp(10, true, async () => ({ cursor: "e-3" }));
    hearing.joined("e-0");
    await Promise.resolve();
    fromTab(hearing, "far 1");
    fromBroker("far", 3);
    expect(ear.data).toEqual(["far 0", "far 1", "far 2"]);
  });
});
