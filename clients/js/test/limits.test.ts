/** A broker that takes few commands of a session in a second: what it refuses is sent again when it can succeed. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WidecastChannel } from "../src/channel.js";
import type { TransportName } from "../src/transports/index.js";
import { type Broker, startBroker } from "./broker.js";
import { endAll, openMachine } from "./machines.js";

const CHANNELS = 30;
const settings = {
  WIDECAST_LIMITS_CHANNELS_PER_SESSION: `${CHANNELS}`,
  WIDECAST_LIMITS_COMMANDS_PER_SESSION_AND_SECOND: `${CHANNELS + 10}`,
};
let broker: Broker;
beforeAll(async () => void (broker = await startBroker({ settings })));
afterEach(endAll);
afterAll(() => broker.kill());

test.each<TransportName>(["websocket", "stream", "poll"])(
  "over %s nothing is lost, and nothing is overtaken",
  async (name) => {
    const here = openMachine(broker.url, { transports: [name] });
    const there = openMachine(broker.url, { transports: [name] });
    const channels = Array.from({ length: CHANNELS }, (_, i) => new WidecastChannel(`${name}-${i}`, { broker: here }));
    const listener = new WidecastChannel(`${name}-0`, { broker: there });
    const heard: unknown[] = [];
    listener.onmessage = ({ data }) => heard.push(data);
    await Promise.all([...channels, listener].map(({ ready }) => ready));
    const posted = Array.from({ length: 100 }, (_, i) => i);
    const receipts = await Promise.all(posted.map((i) => channels[0]!.publish(i)));
    expect(receipts.map(({ offset }) => offset)).toEqual(posted.map((i) => i + 1));
    await expect.poll(() => heard, { timeout: 10_000 }).toEqual(posted);
    const metrics = await (await fetch(`${broker.url}/metrics`)).text();
    expect(metrics).toMatch(/limit="session_commands"\} [1-9]/);
  },
  30_000,
);
