/**
 * Who may use a user's cookie: pages of the listed origins, on every transport, and no other page of the same browser, whatever it loads.
 * Beside that, tokens in a real browser. All origins are of one site, so that the browser sends the cookie from each of them.
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { TransportName } from "../../src/transports/index.js";
import { type Broker, startBroker } from "../broker.js";
import { signToken, tokenSettings } from "../tokens.js";
import { openPage } from "./browser.js";
import { ENGINE, type EngineBrowser, type EngineContext, type EnginePage, startEngine } from "./engine.js";
import { type Site, startSite } from "./site.js";

const ALL = { "*": ["*"] };
const secret = tokenSettings();
let broker: Broker;
let site: Site;
let browser: EngineBrowser;
let push: string;
/** The origins of the user's own pages, and of others. */
const origin = (name: string): string => `http://${name}.example.test:${site.port}`;

beforeAll(async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  [site, browser] = await Promise.all([startSite(), startEngine()]);
  push = `http://push.example.test:${port}`;
  const settings = {
    ...secret.settings,
    WIDECAST_AUTH_COOKIE: "session_token",
    WIDECAST_SERVER_ALLOWED_ORIGINS: `${origin("app")},${push}`,
    WIDECAST_NAMESPACE_DEFAULT_IMAGE_PING: "true",
    WIDECAST_NAMESPACE_OPEN_ANONYMOUS: "subscribe,publish",
    WIDECAST_NAMESPACE_OPEN_IMAGE_PING: "true",
    WIDECAST_NAMESPACE_OPEN_JSONP: "true",
  };
  broker = await startBroker({ port, settings });
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

/** A browser profile whose user has logged in to the broker, by a cookie that only the broker's host is sent. */
async function loggedIn(): Promise<EngineContext> {
  const context = await browser.newContext();
  const page = await openPage(context, `${push}/health/live`);
  await page.evaluate((token) => void Object.assign(document, { cookie: `session_token=${token}; path=/` }), signToken(ALL));
  return context;
}

const visit = (context: EngineContext, name: string): Promise<EnginePage> => openPage(context, `${origin(name)}/machine.html`);

/** From which pages something has been published in a channel. */
async function publishers(channel: string): Promise<string[]> {
  const headers = { authorization: `Bearer ${signToken(ALL)}` };
  const answer = await fetch(`${broker.url}/channels/${channel}/messages`, { headers });
  const { messages } = (await answer.json()) as { messages: { origin: string }[] };
  return messages.map(({ origin }) => origin);
}

/** What a page can ask for itself: whether it is let in. */
const WAYS = {
  websocket: (base: string) =>
    new Promise<boolean>((resolve) => {
      const socket = new WebSocket(`${base.replace("http", "ws")}/channels/private/ws`);
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false);
    }),
  sse: (base: string) =>
    new Promise<boolean>((resolve) => {
      const source = new EventSource(`${base}/channels/private/sse`, { withCredentials: true });
      source.onopen = () => resolve(true);
      source.onerror = () => resolve(false);
    }),
  stream: (base: string) =>
    fetch(`${base}/channels/private/stream`, { credentials: "include" }).then(
      ({ ok }) => ok,
      () => false,
    ),
  poll: (base: string) =>
    fetch(`${base}/channels/private/poll`, { credentials: "include" }).then(
      ({ ok }) => ok,
      () => false,
    ),
  publish: (base: string) =>
    fetch(`${base}/channels/private/messages`, { method: "POST", body: "x", credentials: "include" }).then(
      ({ ok }) => ok,
      () => false,
    ),
};

describe.each(Object.entries(WAYS))("by %s", (_, ask) => {
  test("a page of a listed origin is let in by the cookie, and one of another origin is not", async () => {
    const context = await loggedIn();
    const [app, evil] = await Promise.all([visit(context, "app"), visit(context, "evil")]);
    expect(await app.evaluate(ask, push)).toBe(true);
    expect(await evil.evaluate(ask, push)).toBe(false);
    const stranger = await visit(await browser.newContext(), "app");
    expect(await stranger.evaluate(ask, push)).toBe(false);
  });
});

/** Sends a form, whose answer is shown in a frame. */
function sendForm([base, channel]: [string, string]): void {
  const form = document.createElement("form");
  const action = `${base}/channels/${channel}/messages`;
  Object.assign(form, { action, method: "post", enctype: "text/plain", target: "answer" });
  form.append(Object.assign(document.createElement("input"), { name: "by", value: "a form" }));
  document.body.append(Object.assign(document.createElement("iframe"), { name: "answer" }), form);
  form.submit();
}

test("a form publishes by the cookie from a page of a listed origin only", async () => {
  const context = await loggedIn();
  const [evil, app] = [await visit(context, "evil"), await visit(context, "app")];
  await evil.evaluate(sendForm, [push, "form"]);
  // It has arrived before what is sent now.
  await app.evaluate(sendForm, [push, "form"]);
  await expect.poll(() => publishers("form")).toEqual([origin("app")]);
});

/** Shows an image, and waits for it. */
const ping = ([base, channel]: [string, string]): Promise<void> =>
  new Promise((resolve) => {
    const image = new Image();
    image.onload = image.onerror = () => resolve();
    image.src = `${base}/channels/${channel}/publish.gif?data=an+image`;
  });

test("an image publishes nothing by the cookie, whichever page shows it", async () => {
  const context = await loggedIn();
  for (const name of ["app", "evil"]) {
    const page = await visit(context, name);
    await page.evaluate(ping, [push, "image"]);
    await page.evaluate(ping, [push, "open:image"]);
  }
  await expect.poll(() => publishers("open:image")).toHaveLength(2);
  expect(await publishers("image")).toEqual([]);
});

/** Has a script bring what is in a channel. */
const readByScript = ([base, channel]: [string, string]): Promise<string> =>
  new Promise((resolve) => {
    Object.assign(self, { told: (...told: unknown[]) => resolve(JSON.stringify(told)) });
    const script = document.createElement("script");
    script.onerror = () => resolve("no script");
    script.src = `${base}/channels/${channel}/poll?history=1&callback=told`;
    document.head.append(script);
  });

test.each(["app", "evil"])("a script in a page of %s reads nothing by the cookie", async (name) => {
  const headers = { authorization: `Bearer ${signToken(ALL)}` };
  for (const channel of ["read", "open:read"])
    await fetch(`${broker.url}/channels/${channel}/messages`, { method: "POST", headers, body: "private" });
  const page = await visit(await loggedIn(), name);
  expect(await page.evaluate(readByScript, [push, "open:read"])).not.toContain("unauthorized");
  const told = await page.evaluate(readByScript, [push, "read"]);
  expect(told).toContain("unauthorized");
  expect(told).not.toContain("private");
});

describe.each<TransportName>(["websocket", "sse", "stream", "poll"])("the client over %s", (transport) => {
  /** What becomes of a channel: the state of the connection, and why `ready` is rejected, if it is. */
  const join = (page: EnginePage, options: object = {}): Promise<(string | undefined)[]> =>
    page.evaluate(
      async ([broker, transport, options]) => {
        const { connect, WidecastChannel } = (self as unknown as { Widecast: typeof import("../../src/index.js") }).Widecast;
        const connection = connect(broker, { transports: [transport as TransportName], share: false, ...options });
        const channel = new WidecastChannel("joined", { broker: connection });
        const { code, message } = await channel.ready
          .then(() => channel.publish("by the user"))
          .then(
            () => ({ code: undefined, message: undefined }),
            (error) => error,
          );
        return [connection.state, code, message];
      },
      [push, transport, options] as const,
    );

  test.each([false, true])(
    "says in a page of another origin which setting would let it in (cookies: %s)",
    async (withCredentials) => {
      const [state, code, message] = await join(await visit(await loggedIn(), "evil"), { withCredentials });
      expect([state, code]).toEqual(["closed", "origin_not_allowed"]);
      expect(message).toContain(
        `pages of ${origin("evil")} may not talk to this broker: server.allowed_origins does not list it`,
      );
    },
  );

  test("is logged in by the cookie in a page of a listed origin", async () => {
    const page = await visit(await loggedIn(), "app");
    expect(await join(page, { withCredentials: true })).toEqual(["open", undefined, undefined]);
    const stranger = await visit(await browser.newContext(), "app");
    expect(await join(stranger, { withCredentials: true })).toEqual(["open", "unauthorized", expect.any(String)]);
  });

  test.runIf(transport !== "websocket")("keeps the cookie back unless it is told to send it", async () => {
    expect(await join(await visit(await loggedIn(), "app"))).toEqual(["open", "unauthorized", expect.any(String)]);
  });
});

test.each(["stream", "poll"])("the client for old browsers is logged in by the cookie over %s", async (transport) => {
  const page = await openPage(await loggedIn(), `${origin("app")}/legacy.html`);
  const channel = `old-${transport}`;
  await page.evaluate(
    ([broker, transport, channel]) => {
      const { WidecastChannel } = (self as unknown as { Widecast: typeof import("../../src/index.js") }).Widecast;
      const options = { broker, transports: [transport], withCredentials: true };
      new WidecastChannel(channel!, options as object).postMessage("by the user");
    },
    [push, transport, channel],
  );
  await expect.poll(() => publishers(channel)).toEqual([origin("app")]);
});

test("a token comes in a subprotocol, which the broker does not repeat", async () => {
  const page = await visit(await browser.newContext(), "app");
  const open = (protocols: string[]) =>
    page.evaluate(
      ([base, protocols]) =>
        new Promise<string>((resolve) => {
          const socket = new WebSocket(`${base.replace("http", "ws")}/channels/private/ws`, protocols);
          socket.onopen = () => resolve(socket.protocol);
          socket.onerror = () => resolve("refused");
        }),
      [push, protocols] as [string, string[]],
    );
  expect(await open(["widecast.v1.json", `widecast.token.${signToken(ALL)}`])).toBe("widecast.v1.json");
  expect(await open(["widecast.v1.json"])).toBe("refused");
  expect(await open(["widecast.v1.json", `widecast.token.${signToken(ALL, 0)}`])).toBe("refused");
});

/** What the tests of tokens have in a page. */
interface Listening {
  heard: Record<string, unknown[]>;
  reasons: string[];
}
interface ListeningPage {
  listening: Listening;
  tokens: string[];
  asked: number;
  /** Shows the next token. */
  authenticate(): Promise<void>;
  /** Asks for the past of the first channel: the answer comes behind those to all earlier commands. */
  past(): Promise<unknown[]>;
}

/** Listens to channels with the tokens that the test puts into the page. */
async function listen(page: EnginePage, channels: string[], options: object): Promise<void> {
  await page.evaluate(
    async ([broker, channels, options]) => {
      const { connect, WidecastChannel } = (self as unknown as { Widecast: typeof import("../../src/index.js") }).Widecast;
      const own = self as unknown as ListeningPage;
      own.asked = 0;
      const token = (): string => own.tokens[own.asked++] ?? own.tokens.at(-1)!;
      const connection = connect(broker, { scope: "7", token, ...options });
      const listening: Listening = { heard: {}, reasons: [] };
      own.listening = listening;
      const joined = channels.map((name) => {
        const channel = new WidecastChannel(name, { broker: connection });
        const heard: unknown[] = (listening.heard[name] = []);
        channel.onmessage = ({ data }) => heard.push(data);
        channel.addEventListener("status", ({ detail }) => listening.reasons.push(`${name}: ${detail.reason}`));
        if (name === channels[0]) own.past = () => channel.history();
        return channel.ready;
      });
      own.authenticate = () => connection.authenticate();
      await Promise.all(joined);
    },
    [push, channels, options] as [string, string[], object],
  );
}

const give = (page: EnginePage, tokens: string[]): Promise<void> =>
  page.evaluate((tokens) => void Object.assign(self, { tokens }), tokens);
const listening = (page: EnginePage): Promise<Listening> => page.evaluate(() => (self as unknown as ListeningPage).listening);

/** Publishes as the backend. */
async function say(channel: string, text: string): Promise<void> {
  const headers = { authorization: `Bearer ${signToken(ALL)}` };
  await fetch(`${broker.url}/channels/${channel}/messages`, { method: "POST", headers, body: text });
}

test("a token that ends while tabs listen: what only it allowed stops in each of them, and the rest goes on", async () => {
  const context = await browser.newContext();
  const pages = [await visit(context, "app"), await visit(context, "app")];
  for (const page of pages) {
    await give(page, [signToken({ ended: ["subscribe"] })]);
    await listen(page, ["ended", "open:ended"], {});
  }
  await say("ended", "before");
  for (const page of pages) await expect.poll(async () => (await listening(page)).heard["ended"]).toEqual(["before"]);
  // Only now, so that it does not end while the pages are opened.
  const ending = signToken({ ended: ["subscribe"] }, 4);
  await Promise.all(pages.map((page) => give(page, [ending])));
  await Promise.all(pages.map((page) => page.evaluate(() => (self as unknown as ListeningPage).authenticate())));
  const refused = "ended: WidecastError: subscribe on ended needs a token or an API key";
  for (const page of pages) await expect.poll(async () => (await listening(page)).reasons).toContain(refused);
  await say("ended", "after");
  await say("open:ended", "for all");
  for (const page of pages) {
    await expect.poll(async () => (await listening(page)).heard).toEqual({ ended: ["before"], "open:ended": ["for all"] });
  }
});

test.runIf(ENGINE === "chromium")("tokens of an hour are renewed for a day, and nothing is missed", async () => {
  const page = (await (await browser.newContext()).newPage()) as unknown as Page;
  await page.clock.install();
  await page.goto(`${origin("app")}/machine.html`);
  /** As far as the page's clock goes at once: beyond 85 % of an hour, when the client renews. */
  const step = 0.86 * 3600;
  const tokens = (steps: number): string[] => [signToken({ day: ["subscribe", "history"] }, Math.round(steps * step) + 3600)];
  await give(page, tokens(0));
  await listen(page, ["day"], {});
  const wanted: string[] = [];
  for (let index = 1; index <= 28; index += 1) {
    await give(page, tokens(index));
    await page.clock.fastForward(step * 1000);
    await expect.poll(() => page.evaluate(() => (self as unknown as ListeningPage).asked)).toBe(index + 1);
    await say("day", `step ${index}`);
    wanted.push(`step ${index}`);
    await expect.poll(async () => (await listening(page)).heard["day"]).toEqual(wanted);
    // The clock goes on when the broker has answered: else the client takes the hour for silence, and begins a new session.
    await page.evaluate(() => (self as unknown as ListeningPage).past());
  }
  expect((await listening(page)).reasons.filter((reason) => reason !== "day: ")).toEqual([]);
});
