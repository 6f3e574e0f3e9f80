/** The chat demo with tokens: nobody speaks under another's name. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { signToken, tokenSettings } from "../tokens.js";
import { openPage, startBrowser } from "./browser.js";

const secret = tokenSettings();
let broker: Broker;
let browser: Browser;
beforeAll(async () => {
  [broker, browser] = await Promise.all([startBroker({ settings: secret.settings }), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await broker?.kill();
  secret.remove();
});

/** A token with the rights that docs/authentication.md gives the people of the chat. */
function tokenOf(sub: string): string {
  const rights = {
    [`chat:from:${sub}`]: ["publish"],
    "chat:from:*": ["subscribe", "history"],
    "chat:room": ["subscribe", "presence"],
  };
  return signToken(rights, 600, { sub });
}

async function enter(sub: string): Promise<Page> {
  const page = await openPage(await browser.newContext(), `${broker.url}/demos/chat.html?lang=en#token=${tokenOf(sub)}`);
  await page.locator("#status[data-state=open]").waitFor();
  return page;
}

async function say(page: Page, text: string): Promise<void> {
  await page.fill("#text", text);
  await page.keyboard.press("Enter");
  await page.locator(".message.own:not(.waiting)", { hasText: text }).waitFor();
}

const people = (page: Page): Promise<string[]> => page.locator("#people li").allInnerTexts();

test("people of the chat have the names of their tokens, and nobody has another's", async () => {
  const [ada, mallory] = [await enter("Ada"), await enter("Mallory")];
  await expect.poll(() => people(ada)).toEqual(["Ada\nyou", "Mallory"]);
  await say(ada, "hello");
  await mallory.locator(".message", { hasText: "hello" }).waitFor();
  // Mallory does by hand what the page does not do.
  await mallory.addScriptTag({ url: "/client/widecast.iife.js" });
  const refusal = await mallory.evaluate(async (token) => {
    const { connect, WidecastChannel } = (self as unknown as { Widecast: typeof import("../../src/index.js") }).Widecast;
    const broker = connect(undefined, { token });
    const message = { id: "forged", by: "somebody", name: "Ada", text: "I am Ada", at: new Date() };
    const room = new WidecastChannel("chat:room", { broker, presence: { by: "somebody", name: "Bob" } });
    await room.ready;
    await new WidecastChannel("chat:from:Mallory", { broker }).publish(message);
    return new WidecastChannel("chat:from:Ada", { broker }).publish(message).catch(({ code }: { code: string }) => code);
  }, tokenOf("Mallory"));
  expect(refusal).toBe("forbidden");
  const forged = ada.locator(".message", { hasText: "I am Ada" });
  await forged.waitFor();
  expect(await forged.locator("b").innerText()).toBe("Mallory");
  // Whoever comes now sees the same, in the order in which it was said.
  const late = await enter("Zoe");
  await late.locator(".message", { hasText: "I am Ada" }).waitFor();
  await late.locator(".message", { hasText: "hello" }).waitFor();
  expect(await late.locator(".message b").allInnerTexts()).toEqual(["Ada", "Mallory"]);
  await expect.poll(() => people(late)).toEqual(["Ada", "Mallory", "Zoe\nyou"]);
  await ada.click("#leave");
  await expect.poll(() => people(late)).toEqual(["Mallory", "Zoe\nyou"]);
});
