/**
 * Connections of tests in Node, each as that of another machine: nothing of it is heard but through the broker.
 * A page would have the transports of the script from the broker.
 */
import { EventSource } from "eventsource";
import WebSocket from "ws";
import "../src/transports/fallbacks.js";
import type { ChannelOptions } from "../src/api.js";
import { WidecastChannel } from "../src/channel.js";
import type { ConnectionOptions } from "../src/api.js";
import { Connection } from "../src/connection.js";

Object.assign(globalThis, { EventSource });

const opened: { close(): void }[] = [];

/** Remembers what ends with the test. */
export function untilTheEnd<Each extends { close(): void }>(each: Each): Each {
  opened.push(each);
  return each;
}

/** Ends it: for `afterEach`. */
export function endAll(): void {
  for (const each of opened.splice(0)) each.close();
}

let machines = 0;

export function openMachine(url: string, options: ConnectionOptions = {}): Connection {
  const platform = { WebSocket: WebSocket as never };
  const connection = untilTheEnd(new Connection(new URL(`${url}/`), { ...platform, ...options }));
  // Delivery inside of a browser is among those who name the broker alike.
  Object.defineProperty(connection, "broker", { value: new URL(`http://machine-${++machines}.example`) });
  return connection;
}

export function openChannel(name: string, broker: Connection, options: ChannelOptions = {}): WidecastChannel {
  return untilTheEnd(new WidecastChannel(name, { ...options, broker }));
}
