/** Two browsers, as two machines have them: everything goes through the broker. */
import { expect, test } from "vitest";
import { openPage } from "./browser.js";
import type { EngineBrowser, EngineContext } from "./engine.js";
import { posts, startMachine, TRANSPORTS } from "./machine.js";
import { broker, browser, setStage, site } from "./stage.js";

setStage();

const machine = (options: object = {}, where: EngineBrowser | EngineContext = browser) =>
  startMachine(where, site, broker.url, options);

test.each(TRANSPORTS)("values travel over %s", async (transport) => {
  const [sender, receiver] = await Promise.all([machine({ transports: [transport] }), machine({ transports: [transport] })]);
  await receiver.page.evaluate(() => self.compare());
  expect(await sender.page.evaluate(() => self.sendAll())).toBeGreaterThan(150);
  expect(await receiver.page.evaluate(() => self.failures())).toEqual([]);
  expect(await sender.status()).toMatchObject({ transport });
});

test("tabs of one browser hear each other once, and so do other browsers", async () => {
  const one = await machine();
  const machines = { one, two: await machine({}, one.page.context()), far: await machine() };
  await Promise.all(Object.values(machines).map((each) => each.join("once")));
  await Promise.all(Object.entries(machines).map(([name, each]) => each.post(name, 100, { every: 1 })));
  for (const [own, each] of Object.entries(machines)) {
    const heard = await each.heard(200);
    expect(heard.length).toBe(200);
    for (const from of Object.keys(machines)) {
      expect(heard.filter((message) => message.startsWith(`${from} `))).toEqual(from === own ? [] : posts(from, 100));
    }
  }
});

test("one tag makes the broker's the BroadcastChannel of a page", async () => {
  const open = async () => {
    const page = await openPage(await browser.newContext(), `http://localhost:${site.port}/`);
    await page.evaluate(
      (src) =>
        new Promise((resolve) => {
          const script = Object.assign(document.createElement("script"), { src, onload: resolve });
          script.setAttribute("data-replace-broadcast-channel", "");
          document.head.append(script);
        }),
      `${broker.url}/client/widecast.iife.js`,
    );
    return page;
  };
  const [one, two] = await Promise.all([open(), open()]);
  await two.evaluate(async () => {
    const channel = new BroadcastChannel("tag") as BroadcastChannel & { ready: Promise<void> };
    Object.assign(self, { next: new Promise((resolve) => (channel.onmessage = ({ data, origin }) => resolve([data, origin]))) });
    await channel.ready;
  });
  await one.evaluate(() => new BroadcastChannel("tag").postMessage("to another machine"));
  expect(await two.evaluate(() => (self as never as { next: unknown }).next)).toEqual([
    "to another machine",
    `http://localhost:${site.port}`,
  ]);
});
