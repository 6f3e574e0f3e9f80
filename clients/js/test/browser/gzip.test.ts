/** Large messages in browsers: compressed between machines and for the tabs that share a session. */
import { expect, test } from "vitest";
import WebSocket from "ws";
import { Connection } from "../../src/connection.js";
import { type Machine, posts, startMachine } from "./machine.js";
import { broker, browser, setStage, site } from "./stage.js";

setStage();

const COUNT = 20;

/** Posts large and small messages in turn. */
function postMixed({ page }: Machine, from: string): Promise<void> {
  return page.evaluate(
    async ([from, count]) => {
      for (let first = 0; first < count; first++) {
        void self.machine.post(from, 1, { first, padding: first % 2 ? 0 : 20_000 });
      }
    },
    [from, COUNT] as const,
  );
}

test("large messages keep their place, and are small on their way", async () => {
  const tabs = await browser.newContext();
  const leader = await startMachine(tabs, site, broker.url);
  const follower = await startMachine(tabs, site, broker.url);
  const far = await startMachine(browser, site, broker.url);
  for (const machine of [leader, follower, far]) await machine.join("large");
  await postMixed(follower, "follower");
  expect(await far.heard(COUNT)).toEqual(posts("follower", COUNT));
  await postMixed(far, "far");
  expect(await leader.heard(2 * COUNT)).toEqual([...posts("follower", COUNT), ...posts("far", COUNT)]);
  expect(await follower.heard(COUNT)).toEqual(posts("far", COUNT));
  const near = new Connection(new URL(`${broker.url}/`), { WebSocket: WebSocket as never }).hold();
  const { messages } = await near.request({ type: "history", channel: "large" });
  near.close();
  expect(messages).toHaveLength(2 * COUNT);
  for (const { data } of messages!) expect(data!.length).toBeLessThan(500);
});
