/** What becomes of a page that listens while its rights change: a token is revoked or renewed, the user is put out or written to. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { TransportName } from "../../src/transports/index.js";
import { type Broker, startBroker } from "../broker.js";
import { asBackend, signToken, tokenSettings } from "../tokens.js";
import { openPage } from "./browser.js";
import { type EngineBrowser, type EngineContext, type EnginePage, startEngine } from "./engine.js";
import { type Site, startSite } from "./site.js";

const secret = tokenSettings();
let broker: Broker;
let site: Site;
let browser: EngineBrowser;

beforeAll(async () => {
  [site, browser] = await Promise.all([startSite(), startEngine()]);
  broker = await startBroker({ settings: { ...secret.settings, WIDECAST_NAMESPACE_OPEN_ANONYMOUS: "subscribe,publish" } });
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await broker?.kill();
  secret.remove();
});

/** What a page has heard, and what it was told. */
interface Listening {
  heard: Record<string, unknown[]>;
  reasons: string[];
  direct: unknown[];
  state: string;
  /** For which channels a token was asked for. */
  asked: string[];
}
type ListeningPage = { listening: Listening; tokens: Record<string, string[]> };

/** Opens a page that listens to channels, with these tokens for each of them. The last is given again and again. */
async function listen(
  context: EngineContext,
  channels: string[],
  options: object,
  tokens?: Record<string, string[]>,
): Promise<EnginePage> {
  const page = await openPage(context, `http://localhost:${site.port}/machine.html`);
  await page.evaluate(
    async ([broker, channels, options, tokens]) => {
      const { connect, WidecastChannel } = (self as unknown as { Widecast: typeof import("../../src/index.js") }).Widecast;
      const listening: Listening = { heard: {}, reasons: [], direct: [], state: "", asked: [] };
      Object.assign(self, { listening });
      const subscriptionToken = (channel: string): string | undefined => {
        listening.asked.push(channel);
        const left = tokens![channel] ?? [];
        return left.length > 1 ? left.shift() : left[0];
      };
      const connection = connect(broker, { minDelay: 50, maxDelay: 200, ...(tokens && { subscriptionToken }), ...options });
      connection.addEventListener("status", () => (listening.state = connection.state));
      connection.addEventListener("direct", ({ detail }) => listening.direct.push(detail.data));
      const joined = channels.map((name) => {
        const channel = new WidecastChannel(name, { broker: connection });
        const heard: unknown[] = (listening.heard[name] = []);
        channel.onmessage = ({ data }) => heard.push(data);
        channel.addEventListener("status", ({ detail }) => listening.reasons.push(`${name}: ${detail.reason}`));
        return channel.ready;
      });
      await Promise.all(joined);
    },
    [broker.url, channels, options, tokens] as [string, string[], object, Record<string, string[]> | undefined],
  );
  return page;
}

const listening = (page: EnginePage): Promise<Listening> => page.evaluate(() => (self as unknown as ListeningPage).listening);
const say = (channel: string, text: string): Promise<void> => asBackend(broker.url, `/channels/${channel}/messages`, text);

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("over %s", (transport) => {
  /** A user of the test's own, so that nobody else is revoked or put out. */
  const user = (test: string): string => `${test}-${transport}`;
  const options = (sub: string): object => ({
    transports: [transport],
    token: signToken({ [sub]: ["subscribe"] }, 600, { sub, iat: Math.floor(Date.now() / 1000) - 5 }),
  });

  test("a user whose tokens are revoked hears at once nothing that they allowed, and the rest goes on", async () => {
    const sub = user("revoked");
    const page = await listen(await browser.newContext(), [sub, `open:${sub}`], options(sub));
    await say(sub, "before");
    await expect.poll(async () => (await listening(page)).heard[sub]).toEqual(["before"]);
    await asBackend(broker.url, "/v1/revocations", { user: sub, expires_at: Math.ceil(Date.now() / 1000) + 600 });
    const refused = `${sub}: WidecastError: subscribe on ${sub} needs a token or an API key`;
    await expect.poll(async () => (await listening(page)).reasons).toContain(refused);
    await say(sub, "after");
    await say(`open:${sub}`, "for all");
    const wanted = { [sub]: ["before"], [`open:${sub}`]: ["for all"] };
    await expect.poll(async () => (await listening(page)).heard).toEqual(wanted);
    expect((await listening(page)).state).toBe("open");
  });

  test("a user who is put out is told so, and does not come back by itself", async () => {
    const sub = user("kicked");
    const page = await listen(await browser.newContext(), [sub], options(sub));
    await asBackend(broker.url, "/v1/disconnect", { user: sub, reason: "your account was closed" });
    await expect.poll(async () => (await listening(page)).reasons.at(-1)).toContain("your account was closed");
    expect((await listening(page)).state).toBe("closed");
  });

  test("a user who is taken from one channel stays in the others", async () => {
    const sub = user("taken");
    const page = await listen(await browser.newContext(), [sub, `open:${sub}`], options(sub));
    await asBackend(broker.url, "/v1/unsubscribe", { user: sub, channel: sub });
    await expect.poll(async () => (await listening(page)).reasons).toContain(`${sub}: WidecastError: unsubscribed: kicked`);
    await say(sub, "after");
    await say(`open:${sub}`, "for all");
    await expect.poll(async () => (await listening(page)).heard).toEqual({ [sub]: [], [`open:${sub}`]: ["for all"] });
  });

  test("a token for one channel is renewed while two tabs listen, and neither misses anything", async () => {
    const channel = `room:${transport}`;
    const context = await browser.newContext();
    const tokens = () => ({ [channel]: [10, 600].map((seconds) => signToken({ [channel]: ["subscribe"] }, seconds)) });
    const shared = { transports: [transport], scope: "7" };
    const pages = [await listen(context, [channel], shared, tokens()), await listen(context, [channel], shared, tokens())];
    const asked = async (): Promise<number> => (await Promise.all(pages.map(listening))).flatMap(({ asked }) => asked).length;
    const said: string[] = [];
    do {
      said.push(`message ${said.length}`);
      await say(channel, said.at(-1)!);
      // Each has asked when it joined, and one of them again.
    } while ((await asked()) < 3);
    for (const page of pages) await expect.poll(async () => (await listening(page)).heard[channel]).toEqual(said);
  });

  test("a message to a user comes to each tab once", async () => {
    const sub = user("written");
    const context = await browser.newContext();
    const shared = { ...options(sub), scope: sub };
    const pages = [await listen(context, [sub], shared), await listen(context, [sub], shared)];
    await asBackend(broker.url, `/v1/users/${sub}/messages`, { text: "for you" });
    for (const page of pages) await expect.poll(async () => (await listening(page)).direct).toEqual([{ text: "for you" }]);
  });
});
