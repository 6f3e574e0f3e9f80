/** The list of a channel's members, which the broker gives page by page. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "./broker.js";
import { endAll, openChannel, openMachine } from "./machines.js";

let broker: Broker;
beforeAll(async () => void (broker = await startBroker({ settings: { WIDECAST_LIMITS_MEMBERS_PER_LIST: "2" } })));
afterEach(endAll);
afterAll(() => broker.kill());

test("all members are listed, however many fit into one answer", async () => {
  const all = Array.from({ length: 5 }, (_, number) => number);
  const listed = all.map((presence) => openChannel("room", openMachine(broker.url), { presence }));
  await Promise.all(listed.map(({ ready }) => ready));
  const members = await listed[0]!.presence();
  expect(members.map(({ data }) => data).sort()).toEqual(all);
});
