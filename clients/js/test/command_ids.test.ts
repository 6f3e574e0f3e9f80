/** Ids of commands, from a range that is short enough to come to its end. */
import { expect, test, vi } from "vitest";
import WebSocket from "ws";
import { WidecastChannel } from "../src/channel.js";
import { Connection } from "../src/connection.js";
import { StubBroker } from "./stub_broker.js";

const IDS = 8;
vi.mock("../src/session_hub.js", async (original) => ({ ...(await original<object>()), COMMAND_IDS: 8 }));

test("a connection keeps to its range of ids, by which a hub finds it", async () => {
  const broker = await StubBroker.start();
  broker.isStrict = false;
  const connection = new Connection(new URL(`${broker.url}/`), { WebSocket: WebSocket as never });
  try {
    const channel = new WidecastChannel("news", { broker: connection });
    for (let i = 0; i < 3 * IDS; i++) await channel.publish(i);
    const ids = broker.commands("publish").map((frame) => Number(frame["id"]));
    expect(ids.length).toBe(3 * IDS);
    expect(new Set(ids.map((id) => Math.floor(id / IDS))).size).toBe(1);
  } finally {
    connection.close();
    broker.close();
  }
});
