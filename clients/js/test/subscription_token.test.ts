/** Tokens for single channels at a real broker, what a token joins by itself, and messages to a user. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ConnectionOptions, Status } from "../src/api.js";
import { WidecastChannel } from "../src/channel.js";
import type { Connection } from "../src/connection.js";
import type { TransportName } from "../src/transports/index.js";
import { type Broker, startBroker } from "./broker.js";
import { Ear } from "./heard.js";
import { endAll, openMachine } from "./machines.js";
import { asBackend, signToken, tokenSettings } from "./tokens.js";

const secret = tokenSettings();

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ settings: { ...secret.settings, WIDECAST_NAMESPACE_OPEN_ANONYMOUS: "subscribe,publish" } });
});
afterEach(endAll);
afterAll(async () => {
  await broker.kill();
  secret.remove();
});

const machine = (options: ConnectionOptions): Connection => openMachine(broker.url, { minDelay: 50, maxDelay: 200, ...options });

/** A token for one channel, for so many seconds. */
const tokenFor = (channel: string, seconds?: number): string => signToken({ [channel]: ["subscribe", "publish"] }, seconds);

const say = (channel: string, data: unknown): Promise<void> => asBackend(broker.url, `/channels/${channel}/messages`, data);
const details = (ear: Ear): unknown[] => ear.events.map((event) => (event as unknown as CustomEvent).detail);
const reasons = (ear: Ear): string[] => (details(ear) as Status[]).map(({ reason }) => reason);

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s", (name) => {
  const transports: TransportName[] = [name];

  test("a token for a channel opens that channel and no other, to listen and to publish", async () => {
    const asked: string[] = [];
    const subscriptionToken = async (channel: string): Promise<string | undefined> => {
      asked.push(channel);
      return channel === "room:1" ? tokenFor(channel) : undefined;
    };
    const connection = machine({ transports, subscriptionToken });
    const [room, other, open] = ["room:1", "room:2", "open:1"].map(
      (channel) => new WidecastChannel(channel, { broker: connection }),
    );
    const ear = new Ear(room!);
    await Promise.all([room!.ready, open!.ready]);
    await expect(other!.ready).rejects.toMatchObject({ code: "unauthorized" });
    await say("room:1", "hello");
    expect(await ear.until(1)).toEqual(["hello"]);
    await room!.publish("and back");
    await expect(other!.publish("not here")).rejects.toMatchObject({ code: "unauthorized" });
    expect(asked.sort()).toEqual(["open:1", "room:1", "room:2"]);
  });

  test("it is renewed before its end, and nothing is missed", async () => {
    let fetched = 0;
    const connection = machine({ transports, subscriptionToken: (channel) => tokenFor(channel, ++fetched > 2 ? 600 : 3) });
    const [channel, open] = ["renewed", "open:renewed"].map((each) => new WidecastChannel(each, { broker: connection }));
    const [ear, status] = [new Ear(channel!), new Ear(channel!, "status")];
    await Promise.all([channel!.ready, open!.ready]);
    fetched = 1;
    let sent = 0;
    while (fetched < 3) {
      await say("renewed", sent++);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await say("renewed", sent++);
    expect(await ear.until(sent)).toEqual(Array.from({ length: sent }, (_, number) => number));
    expect(reasons(status).filter((reason) => reason)).toEqual([]);
    expect(connection.state).toBe("open");
  });

  test("while no token can be had the channel waits, says why, and then goes on from where it was", async () => {
    let isAway = false;
    const subscriptionToken = (channel: string): string => {
      if (isAway) throw new Error("the backend is away");
      return tokenFor(channel, 3);
    };
    const connection = machine({ transports, subscriptionToken });
    const channel = new WidecastChannel("waiting", { broker: connection });
    const [ear, status] = [new Ear(channel), new Ear(channel, "status")];
    await channel.ready;
    await say("waiting", "before");
    await ear.until(1);
    isAway = true;
    // Once before the end, and again when it has come.
    await expect
      .poll(() => reasons(status).filter((reason) => reason === "Error: the backend is away").length)
      .toBeGreaterThan(1);
    await expect(channel.publish("too late")).rejects.toMatchObject({ code: "unauthorized" });
    await say("waiting", "meanwhile");
    isAway = false;
    expect(await ear.until(2)).toEqual(["before", "meanwhile"]);
  });

  test("a channel that is revoked asks for another token, and is refused if that proves nothing", async () => {
    let count = 0;
    const subscriptionToken = (channel: string): string | undefined =>
      ++count === 1 ? signToken({ [channel]: ["subscribe"] }, 600, { jti: `revoked-${name}` }) : undefined;
    const channel = new WidecastChannel(`revoked-${name}`, { broker: machine({ transports, subscriptionToken }) });
    const status = new Ear(channel, "status");
    await channel.ready;
    await asBackend(broker.url, "/v1/revocations", { jti: `revoked-${name}`, expires_at: Math.ceil(Date.now() / 1000) + 600 });
    await expect.poll(() => reasons(status)).toContain(`WidecastError: subscribe on revoked-${name} needs a token or an API key`);
    expect(count).toBe(2);
  });

  test("the channels that a token names are told, and those that it names no longer", async () => {
    const connection = machine({ transports, token: signToken({}, 600, { subscribe_to: ["named"] }) });
    const [joined, left] = [new Ear(connection, "subscribed"), new Ear(connection, "unsubscribed")];
    connection.hold();
    await joined.until(1);
    const [{ channel, cursor }] = details(joined) as [{ channel: string; cursor: string }];
    expect(channel).toBe("named");
    await say("named", "before there is an object");
    const ear = new Ear(new WidecastChannel(channel, { broker: connection, cursor }));
    expect(await ear.until(1)).toEqual(["before there is an object"]);
    await connection.authenticate(signToken({}, 600, { subscribe_to: ["other"] }));
    await joined.until(2);
    expect(details(joined)[1]).toMatchObject({ channel: "other" });
    await connection.authenticate(signToken({}));
    await left.until(1);
    expect(details(left)).toMatchObject([{ channel: "other", code: "forbidden" }]);
  });

  test("a message to a user comes to the connection", async () => {
    const connection = machine({ transports, token: signToken({}, 600, { sub: `user-${name}` }) });
    const ear = new Ear(connection, "direct");
    await connection.authenticate();
    await asBackend(broker.url, `/v1/users/user-${name}/messages?event=note`, { $type: "Date", value: 1 });
    await ear.until(1);
    expect(details(ear)).toMatchObject([{ data: new Date(1), event: "note", origin: "backend" }]);
  });
});
