/** The demos that the broker serves, each between two browsers as two machines have them. */
import { readFile } from "node:fs/promises";
import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../broker.js";
import { startBrowser } from "./browser.js";

let broker: Broker;
let browser: Browser;
/** What a page complained of: errors, refused requests, violations of its Content-Security-Policy. */
let complaints: string[] = [];
beforeAll(async () => {
  [broker, browser] = await Promise.all([startBroker(), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await broker?.kill();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  const found = complaints;
  complaints = [];
  expect(found).toEqual([]);
});

type Options = BrowserContextOptions & { host?: string };

/** A demo in a browser of its own. */
async function open(name: string, { host = "127.0.0.1", locale = "en-US", ...options }: Options = {}): Promise<Page> {
  const context = await browser.newContext({ locale, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => complaints.push(`${name}: ${error.stack}`));
  page.on("console", (message) => {
    // How often a canvas is read is up to this test.
    if (["error", "warning"].includes(message.type()) && !/willReadFrequently/.test(message.text()))
      complaints.push(`${name}: ${message.text()}`);
  });
  await page.goto(`http://${host}:${broker.port}/demos/${name}`);
  return page;
}

/** The pages that the index leads to. */
const DEMOS = ["chat.html", "notifications.html", "broadcast-1.html", "bridge.html", "canvas.html", "ticker.html", "upload.html"];
const PAGES = ["", ...DEMOS, "broadcast-2.html", "bridge-child.html"];

describe.each(PAGES)("the page '%s'", (name) => {
  test.each([
    ["en-US", "en", "light"],
    ["zh-CN", "zh", "dark"],
  ] as const)(
    "in the browser language %s speaks %s only, and can be read and operated by everybody in %s colours",
    async (locale, language, colorScheme) => {
      const page = await open(name, { locale, colorScheme });
      expect(await page.evaluate(() => document.documentElement.lang)).toMatch(new RegExp(`^${language}`));
      expect(/\p{Script=Han}/u.test(await page.title())).toBe(language === "zh");
      expect(await page.evaluate(shownInOtherLanguage)).toEqual([]);
      // It shows the code that it runs.
      for (const details of await page.locator("details").all()) {
        await details.locator("summary").click();
        await expect.poll(() => details.locator("pre").innerText()).toMatch(/^\/\/ [\s\S]*\n$/);
      }
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate(() => self.axe.run({ resultTypes: ["violations"] }));
      expect(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)])).toEqual([]);
      await page.setViewportSize({ width: 360, height: 740 });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      // What is to be copied is all in sight.
      const isCut = (all: Element[]): number => all.filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).length;
      expect(await page.locator("pre.code").evaluateAll(isCut)).toBe(0);
    },
  );
});

test("a page changes its language, and remembers it for the others", async () => {
  const page = await open("notifications.html");
  await page.click("button[data-language=zh]");
  expect(await page.evaluate(shownInOtherLanguage)).toEqual([]);
  expect(await page.title()).toMatch(/\p{Script=Han}/u);
  await page.click(".brand");
  await expect.poll(() => page.locator("h1").innerText()).toMatch(/\p{Script=Han}/u);
  await page.goto(`${page.url()}?lang=en`);
  expect(await page.evaluate(() => document.documentElement.lang)).toBe("en");
  expect(await page.title()).not.toMatch(/\p{Script=Han}/u);
  await page.goto(page.url().replace("?lang=en", "chat.html"));
  expect(await page.evaluate(shownInOtherLanguage)).toEqual([]);
});

test("the address of the broker leads to the demos, and the index to each of them", async () => {
  const page = await open("../");
  expect(new URL(page.url()).pathname).toBe("/demos/");
  const links = (within: string): Promise<string[]> =>
    page.locator(`main ${within} a`).evaluateAll((all) => all.map((link) => link.getAttribute("href")!));
  expect(await links("h2")).toEqual(DEMOS);
  // Each card shows what to expect, and leads to a page of the documentation that is there.
  expect(await page.locator(".gallery .scene").count()).toBe(DEMOS.length);
  const documents = await links(".foot-line");
  expect(documents.length).toBe(DEMOS.length);
  for (const link of documents) {
    const [, name, anchor] = /^https:\/\/github\.com\/widecast\/widecast\/blob\/main\/(docs\/[a-z-]+\.md)#(.+)$/.exec(link)!;
    const text = await readFile(new URL(`../../../../${name}`, import.meta.url), "utf8");
    const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\d -]/gu, "")
        .replaceAll(" ", "-"),
    );
    expect(anchors, link).toContain(anchor);
  }
});

test("ripples reach the other browsers, and not twice the own", async () => {
  await subscribers("demos:ripples", 0); // those of the tests before have left
  const [one, two] = await Promise.all([open(""), open("")]);
  await subscribers("demos:ripples", 2);
  for (const page of [one, two]) {
    // Rings go by themselves: count them as they come.
    await page.evaluate(() => {
      self.rings = 0;
      const count = (changes: MutationRecord[]): void => changes.forEach(({ addedNodes }) => (self.rings += addedNodes.length));
      new MutationObserver(count).observe(document.getElementById("pond")!, { childList: true });
    });
  }
  await one.click("#pond");
  await two.waitForFunction(() => self.rings === 1);
  await two.focus("#pond");
  await two.keyboard.press("Enter");
  await one.waitForFunction(() => self.rings === 2);
  expect(await two.evaluate(() => self.rings)).toBe(2);
});

test("the chat room says who is here, who comes and goes, and what was said before", async () => {
  const enter = async (page: Page, name: string): Promise<void> => {
    await page.fill("#name", name);
    await page.click("#entrance button");
    await page.locator("#status[data-state=open]").waitFor();
  };
  const say = async (page: Page, text: string): Promise<void> => {
    await page.fill("#text", text);
    await page.keyboard.press("Enter");
  };
  const notice = (page: Page, text: string): Promise<void> =>
    expect.poll(() => page.locator(".notice").allInnerTexts()).toContain(text);
  const [ada, ming] = await Promise.all([open("chat.html"), open("chat.html", { locale: "zh-CN" })]);
  await enter(ada, "Ada");
  await expect.poll(() => ada.locator("#people li").allInnerTexts()).toEqual(["Ada\nyou"]);
  await say(ada, "<b>first</b>");
  expect(await ada.locator(".message.own .text").innerText()).toBe("<b>first</b>");
  await enter(ming, "小明");
  await ming.getByText("<b>first</b>").waitFor();
  await notice(ada, "小明 joined");
  await expect.poll(() => ada.locator("#count").innerText()).toBe("2");
  await expect.poll(() => ming.locator("#people li").allInnerTexts()).toEqual(expect.arrayContaining(["Ada", "小明\n我"]));
  await say(ming, "你好");
  await ada.getByText("你好").waitFor();
  expect(await ada.locator(".message").count()).toBe(2);
  await ada.click("#leave");
  await notice(ming, "Ada 离开了聊天室");
  await expect.poll(() => ming.locator("#people li").allInnerTexts()).toEqual(["小明\n我"]);
});

test("two people of one name are two, in the chat room", async () => {
  await subscribers("demos:chat", 0);
  const pages = await Promise.all([open("chat.html"), open("chat.html")]);
  for (const page of pages) {
    await page.fill("#name", "Ada");
    await page.click("#entrance button");
    await page.locator("#status[data-state=open]").waitFor();
  }
  const [one, two] = pages as [Page, Page];
  for (const page of pages) await expect.poll(() => page.locator("#people li").count()).toBe(2);
  await one.fill("#text", "from the one");
  await one.keyboard.press("Enter");
  await two.locator(".message:not(.own)", { hasText: "from the one" }).waitFor();
  expect(await one.locator(".message.own", { hasText: "from the one" }).count()).toBe(1);
  await one.click("#leave");
  await two.locator(".notice", { hasText: "Ada left" }).waitFor();
  await expect.poll(() => two.locator("#people li").count()).toBe(1);
});

test("what is typed without a network is marked, survives a reload and is said once", async () => {
  await subscribers("demos:chat", 0);
  const [page, other] = await Promise.all([open("chat.html"), open("chat.html")]);
  for (const [who, name] of [
    [page, "Typing"],
    [other, "Listening"],
  ] as const) {
    await who.fill("#name", name);
    await who.click("#entrance button");
    await who.locator("#status[data-state=open]").waitFor();
  }
  await page.context().setOffline(true);
  await page.evaluate(() => self.dispatchEvent(new Event("offline")));
  await page.locator("#status:not([data-state=open])").waitFor();
  await page.fill("#text", "waits");
  await page.keyboard.press("Enter");
  await page.locator(".message.own.waiting", { hasText: "waits" }).waitFor();
  await page.context().setOffline(false);
  await page.reload();
  // It is in the room by itself.
  await page.locator(".message.own:not(.waiting)", { hasText: "waits" }).waitFor();
  await other.locator(".message", { hasText: "waits" }).waitFor();
  await page.fill("#text", "and on");
  await page.keyboard.press("Enter");
  await other.locator(".message", { hasText: "and on" }).waitFor();
  for (const who of [page, other]) expect(await who.locator(".message", { hasText: "waits" }).count()).toBe(1);
  complaints = complaints.filter((complaint) => !/ERR_INTERNET_DISCONNECTED/.test(complaint));
});

test.each(["chat.html", "notifications.html", "canvas.html", "bridge.html", "upload.html", "broadcast-1.html", ""])(
  "a button of '%s' opens a second window beside it",
  async (name) => {
    const page = await open(name);
    const [second] = await Promise.all([page.context().waitForEvent("page"), page.click("[data-second]")]);
    await second.locator("h1").waitFor();
    expect(new URL(second.url()).pathname).toBe(`/demos/${name.replace("-1", "-2")}`);
    // The second tab of a browser, which shares the connection of the first, says that it is connected, too.
    if (name === "chat.html") {
      await second.fill("#name", "Ada");
      await second.click("#entrance button");
    }
    if (await second.locator("#status").count()) await second.locator("#status[data-state=open]").waitFor();
  },
);

test("the line for a terminal is shown whole, and copied", async () => {
  const page = await open("notifications.html", {
    permissions: ["clipboard-read", "clipboard-write"],
    viewport: { width: 320, height: 640 },
  });
  const line = await page.locator("#curl").innerText();
  expect(line).toContain(`http://127.0.0.1:${broker.port}/channels/demos:notifications/messages?event=alert`);
  expect(await page.locator("#curl").evaluate((pre) => pre.scrollWidth - pre.clientWidth)).toBe(0);
  await page.click("[data-copy=curl]");
  await expect.poll(() => page.locator("[data-copy=curl]").innerText()).toBe("Copied");
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(line);
});

test("notifications reach every EventSource, and one page tells the time", async () => {
  await subscribers("demos:notifications", 0);
  const [one, two] = await Promise.all([open("notifications.html"), open("notifications.html", { locale: "zh-CN" })]);
  await subscribers("demos:notifications", 2);
  await one.fill("#text", "<i>to all</i>");
  await one.click("button[value=notification]");
  for (const page of [one, two])
    await expect.poll(() => page.locator(".feed .notification .text").innerText()).toBe("<i>to all</i>");
  await two.click("button[value=alert]");
  await expect.poll(() => one.locator("#alarm-text").innerText()).toBe("咖啡煮好了");
  await expect.poll(() => two.locator("#alarm strong").innerText()).toBe("警报");
  await one.click("#dismiss");
  expect(await one.locator("#alarm").isVisible()).toBe(false);
  // A backend publishes with one request.
  await broker.publish("demos:notifications", "from a backend", "notification");
  await expect.poll(() => two.locator(".feed .text").first().innerText()).toBe("from a backend");

  // Of all that tell the time only one does, and when it is gone another.
  for (const page of [one, two]) await expect.poll(() => page.locator("#clock").innerText()).toMatch(/^\d\d:\d\d:\d\d$/);
  const ticks = (page: Page, count: number): Promise<number> =>
    page.evaluate((count) => {
      const source = new EventSource("/channels/demos:notifications/sse");
      const began = performance.now();
      let heard = 0;
      return new Promise((resolve) => {
        source.addEventListener("time", () => ++heard === count && (source.close(), resolve(performance.now() - began)));
      });
    }, count);
  // Two would need 4 s for so many, and one 7 s, less what the first of them may come late.
  expect(await ticks(two, 8)).toBeGreaterThan(5000);
  await one.context().close();
  expect(await ticks(two, 3)).toBeGreaterThan(500);
});

test("the broadcast pages send each other every kind of value", async () => {
  await subscribers("demos:broadcast", 0);
  const [one, two] = await Promise.all([open("broadcast-1.html"), open("broadcast-2.html")]);
  await subscribers("demos:broadcast", 2);
  const buttons = await one.locator("button[data-value]").all();
  for (const button of buttons) await button.click();
  await expect.poll(() => two.locator("#log .in").count()).toBe(buttons.length);
  const inspected = (page: Page, kind: string): Promise<string[]> => page.locator(`#log ${kind} code`).allInnerTexts();
  // Both inspect: what came is what was sent.
  expect(await inspected(two, ".in")).toEqual(await inspected(one, ".out"));
  expect(await inspected(two, ".in")).toEqual(
    expect.arrayContaining(['Map(1) { "tea" → 3 }', "18446744073709551616n", 'Object { name: "loop", self: ↺ }']),
  );
  await two.fill("#text", "got it");
  await two.keyboard.press("Enter");
  await expect.poll(() => inspected(one, ".in")).toEqual(['"got it"']);
  await expect.poll(() => one.locator("#log .in small").innerText()).toBe(`http://127.0.0.1:${broker.port}`);
});

test("what one draws the others see, also those who come later", async () => {
  await subscribers("demos:canvas", 0);
  const [one, two] = await Promise.all([open("canvas.html"), open("canvas.html")]);
  await subscribers("demos:canvas", 2);
  await two.waitForSelector("#status[data-state=open]");
  const box = (await one.locator("canvas").boundingBox())!;
  const at = (x: number, y: number) => [box.x + box.width * x, box.y + box.height * y] as const;
  await one.check("input[name=hue][value='215']", { force: true });
  await one.mouse.move(...at(0.2, 0.5));
  await one.mouse.down();
  await one.mouse.move(...at(0.8, 0.5), { steps: 20 });
  await one.mouse.up();
  /** The colour of a place of the canvas: red, green, blue, opacity. */
  const colour = (page: Page, x: number, y: number): Promise<number[]> =>
    page.evaluate(
      ([x, y]) => [
        ...document
          .querySelector("canvas")!
          .getContext("2d")!
          .getImageData(1600 * x!, 1000 * y!, 1, 1).data,
      ],
      [x, y],
    );
  const blue = await colour(one, 0.5, 0.5);
  expect(blue[3]).toBe(255);
  await expect.poll(() => colour(two, 0.5, 0.5)).toEqual(blue);
  const late = await open("canvas.html");
  await expect.poll(() => colour(late, 0.5, 0.5)).toEqual(blue);
  // The keyboard draws, too: from the middle to the right.
  await late.click("#clear");
  for (const page of [one, two, late]) await expect.poll(() => colour(page, 0.5, 0.5)).toEqual([0, 0, 0, 0]);
  await late.focus("canvas");
  await late.keyboard.press("ArrowRight");
  await expect.poll(async () => (await colour(one, 0.505, 0.5))[3]).toBe(255);
});

test("the canvas fits the screen, and shows where the others point", async () => {
  await subscribers("demos:canvas-pointers", 0);
  const [one, two] = await Promise.all([open("canvas.html"), open("canvas.html")]);
  await subscribers("demos:canvas-pointers", 2);
  const frame = (page: Page) =>
    page
      .locator("canvas")
      .evaluate((canvas) => (canvas.scrollIntoView({ block: "nearest" }), canvas.getBoundingClientRect().toJSON() as DOMRect));
  for (const [width, height] of [
    [1280, 720],
    [844, 390],
    [320, 640],
  ] as const) {
    await one.setViewportSize({ width, height });
    const { top, bottom, left, right } = await frame(one);
    expect(top >= 0 && left >= 0 && bottom <= height + 1 && right <= width, `${width} × ${height}: ${top} to ${bottom}`).toBe(
      true,
    );
  }
  const { x, y, width, height } = await frame(one);
  await one.mouse.move(x + width / 4, y + height / 2);
  const pointer = two.locator(".pointer");
  await pointer.waitFor();
  expect(await pointer.evaluate((mark) => (mark as HTMLElement).style.left)).toMatch(/^2[45](\.\d+)?%$/);
  expect(await one.locator(".pointer").count()).toBe(0);
  await one.mouse.move(0, 0);
  await pointer.waitFor({ state: "detached" });
});

test.each(["127.0.0.1", "localhost"])(
  "a page that may not connect talks through the bridge, when it is opened at %s",
  async (host) => {
    const [page, far] = await Promise.all([open("bridge.html", { host }), open("bridge.html", { locale: "zh-CN" })]);
    const child = page.frameLocator("#child");
    await child.locator("#status[data-state=open]").waitFor();
    await far.locator("#status[data-state=open]").waitFor();
    const other = host === "localhost" ? "127.0.0.1" : "localhost";
    const [own, its] = [host, other].map((name) => `http://${name}:${broker.port}`) as [string, string];
    expect(await child.locator("#origin").innerText()).toBe(`http://${other}:${broker.port}`);
    expect(page.frames().map((frame) => new URL(frame.url()).pathname)).toContain("/bridge.html");
    await child.locator("#text").fill("out of the frame");
    await child.locator("#form button").click();
    for (const place of [page, far, far.frameLocator("#child")])
      await expect.poll(() => place.locator("#log .in .text").first().innerText()).toBe("out of the frame");
    // The origin that is shown is the one that the broker has seen: the bridge's.
    expect(await page.locator("#log .in small").first().innerText()).toBe(`The broker saw it come from ${own}`);
    expect(await child.locator("#log .out small").first().innerText()).toBe(`Sent from ${its}`);
    await page.click("#form button");
    await expect.poll(() => child.locator("#log .in small code").first().innerText()).toBe(own);
    await far.click("#form button");
    await expect.poll(() => child.locator("#log .in .text").first().innerText()).toBe("你好，框架里的页面");
    // It speaks the language of the page around.
    await page.click("button[data-language=zh]");
    await expect.poll(() => child.locator("h1").innerText()).toBe("框架里的页面");
    await expect.poll(() => child.locator("#log .in .text").first().innerText()).toBe("你好，框架里的页面");
    // Really without any connection of its own.
    await child.locator("#direct").click();
    await expect.poll(() => child.locator("#outcome").innerText()).toBe("被页面的安全策略拒绝");
    complaints = complaints.filter((complaint) => !/health\/live/.test(complaint));
  },
);

describe("files", () => {
  const state = (page: Page, name: string): Promise<string[]> =>
    page.locator(".transfer", { hasText: name }).evaluateAll((all) => all.map((line) => (line as HTMLElement).dataset["state"]!));
  const opened = async (): Promise<[Page, Page]> => {
    await subscribers("demos:files", 0);
    const pages = await Promise.all([open("upload.html"), open("upload.html", { locale: "zh-CN" })]);
    for (const page of pages) await page.locator("#status[data-state=open]").waitFor();
    await subscribers("demos:files", 2);
    return pages;
  };

  /** Chooses a file of zeros; made in the page, where it need not travel to. */
  const choose = (page: Page, name: string, bytes: number): Promise<void> =>
    page.evaluate(
      ([name, bytes]) => {
        const input = document.querySelector<HTMLInputElement>("#file")!;
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], name));
        input.files = files.files;
        input.dispatchEvent(new Event("change"));
      },
      [name, bytes] as const,
    );

  test("arrive whole in the other browsers, and are shown there", async () => {
    const [one, two] = await opened();
    const buffer = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 31) % 251));
    await one.setInputFiles("#file", { name: "three-parts.bin", mimeType: "application/octet-stream", buffer });
    await expect.poll(() => state(two, "three-parts.bin")).toEqual(["received"]);
    await expect.poll(() => state(one, "three-parts.bin")).toEqual(["sent"]);
    expect(await two.locator(".transfer progress").evaluate((bar) => (bar as HTMLProgressElement).value)).toBe(1);
    const [download] = await Promise.all([two.waitForEvent("download"), two.locator(".save").click()]);
    expect(download.suggestedFilename()).toBe("three-parts.bin");
    expect((await readFile(await download.path())).equals(buffer)).toBe(true);

    // A picture, dropped.
    await two.evaluate(async () => {
      const canvas = new OffscreenCanvas(8, 4);
      canvas.getContext("2d");
      const files = new DataTransfer();
      files.items.add(new File([await canvas.convertToBlob()], "dropped.png", { type: "image/png" }));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
    });
    await expect
      .poll(() => one.locator("img.preview:visible").evaluate((image) => (image as HTMLImageElement).naturalWidth))
      .toBe(8);
  });

  test("can be given up, and must not be too large", async () => {
    const [one, two] = await opened();
    // So slowly that there is time to give it up.
    const network = await one.context().newCDPSession(one);
    const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 5e5 };
    await network.send("Network.emulateNetworkConditions", conditions);
    await choose(one, "given-up.bin", 15 * 1024 * 1024);
    await two.locator(".transfer[data-state=receiving]").waitFor();
    await one.locator(".cancel").click();
    await expect.poll(() => state(one, "given-up.bin")).toEqual(["cancelled"]);
    await expect.poll(() => state(two, "given-up.bin")).toEqual(["cancelled"]);
    await choose(one, "large.bin", 16 * 1024 * 1024 + 1);
    await expect.poll(() => state(one, "large.bin")).toEqual(["large"]);
    expect(await two.locator(".transfer").count()).toBe(1);
  });

  test("come in parts to a receiver that is slower than its sender", async () => {
    const [one, two] = await opened();
    await two.evaluate(() => {
      // It reads nothing for a while, again and again.
      setInterval(() => {
        for (const until = performance.now() + 200; performance.now() < until; );
      }, 250);
    });
    await choose(one, "much.bin", 6 * 1024 * 1024);
    await expect.poll(() => state(two, "much.bin"), { timeout: 50_000 }).toEqual(["received"]);
  });
});

describe("the ticker", () => {
  const COLUMNS = ["websocket", "sse", "xhr", "poll", "jsonp"];
  const figures = (page: Page, part: string): Promise<number[]> =>
    page.locator(`[data-transport] .${part}`).evaluateAll((all) => all.map((element) => Number(element.textContent)));
  const heard = async (page: Page, count: number): Promise<void> => {
    const least = async (): Promise<number> => {
      const quotes = await figures(page, "quotes");
      return quotes.length === COLUMNS.length ? Math.min(...quotes) : 0;
    };
    await expect.poll(least, { timeout: 40_000 }).toBeGreaterThanOrEqual(count);
  };
  const isExchange = (page: Page): Promise<boolean> =>
    page.locator("#exchange").evaluate((element) => (element as HTMLElement).dataset["here"] === "true");

  /** Has a page remember the prices that each column shows from now on. */
  const remember = (page: Page): Promise<void> =>
    page.evaluate(() => {
      const prices: Record<string, string[]> = (self.prices = {});
      const note = ({ target, addedNodes }: MutationRecord): void => {
        const price = (target as Element).closest(".price");
        const { transport } = price?.closest<HTMLElement>("[data-transport]")?.dataset ?? {};
        if (transport) for (const text of addedNodes) (prices[transport] ??= []).push(text.textContent!);
      };
      new MutationObserver((changes) => changes.forEach(note)).observe(document.body, { childList: true, subtree: true });
    });
  /** Whether all columns have shown the last prices of the one that is behind, in the same order. */
  const agree = async (page: Page): Promise<boolean> => {
    const prices = Object.values(await page.evaluate(() => self.prices));
    const isShownByAll = (last: string[]): boolean => prices.every((each) => each.join().includes(last.join()));
    return prices.length === COLUMNS.length && prices.some((each) => each.length >= 5 && isShownByAll(each.slice(-5)));
  };

  test("shows the same quotes on every transport, in every browser, with what each took", { timeout: 120_000 }, async () => {
    const pages = await Promise.all([open("ticker.html"), open("ticker.html", { locale: "zh-CN" })]);
    for (const page of pages) await remember(page);
    for (const page of pages) await heard(page, 15);
    for (const page of pages) {
      expect(
        await page
          .locator("[data-transport]")
          .evaluateAll((all) => all.map((column) => (column as HTMLElement).dataset["transport"])),
      ).toEqual(COLUMNS);
      await expect.poll(() => agree(page)).toBe(true);
      const statistics = await page
        .locator("[data-transport] dl")
        .evaluateAll((all) =>
          all.map((list) => ["median", "p95"].map((part) => Number(list.querySelector(`.${part}`)!.textContent))),
        );
      // The clocks of two pages may differ a little, so that a quote seems to arrive before it has left.
      for (const [median, p95] of statistics)
        expect([-1000 < median!, median! <= p95!, 0 < p95!, p95! < 1e6], `${median} and ${p95}`).not.toContain(false);
    }
    // One of them is the exchange; when it goes, the other one takes over.
    await expect.poll(async () => (await Promise.all(pages.map(isExchange))).filter(Boolean).length).toBe(1);
    const [first, second] = (await isExchange(pages[0]!)) ? pages : pages.toReversed();
    await first!.context().close();
    await expect.poll(() => isExchange(second!)).toBe(true);
    const before = Math.max(...(await figures(second!, "quotes")));
    await heard(second!, before + 10);
    expect(await isExchange(second!)).toBe(true);
  });

  test("lets the page finish loading before it adds scripts to it", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const order: string[] = [];
    page.on("request", (request) => request.url().includes("callback=") && order.push("script"));
    page.on("load", () => order.push("load"));
    // A picture that takes its time delays the load.
    await page.route("**/icon.svg", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await route.continue();
    });
    await page.goto(`${broker.url}/demos/ticker.html`);
    await expect.poll(() => order.length).toBeGreaterThan(1);
    expect(order.slice(0, 2)).toEqual(["load", "script"]);
  });

  test("colours the line of prices by where they went", async () => {
    const page = await open("ticker.html");
    await heard(page, 5);
    const isRight = (): Promise<boolean> =>
      page.locator("[data-transport=websocket] .spark").evaluate((spark) => {
        const points = spark
          .querySelector("polyline")!
          .getAttribute("points")!
          .split(" ")
          .map((point) => Number(point.split(",")[1]));
        const way = Math.sign(points[0]! - points.at(-1)!); // downwards on the screen is up in numbers
        return Number((spark as HTMLElement).dataset["way"]) === way;
      });
    expect(await isRight()).toBe(true);
    const colours = await page.evaluate(() => {
      const spark = document.querySelector<HTMLElement>(".spark")!;
      return ["1", "-1"].map((way) => ((spark.dataset["way"] = way), getComputedStyle(spark.firstElementChild!).stroke));
    });
    expect(new Set(colours).size).toBe(2);
  });

  test("a column can be paused", async () => {
    const page = await open("ticker.html");
    await heard(page, 3);
    const column = page.locator("[data-transport=sse]");
    await column.locator(".pause").click();
    const quotes = async (): Promise<number> => Number(await column.locator(".quotes").innerText());
    const paused = await quotes();
    const others = async (): Promise<number> => (await figures(page, "quotes"))[0]!;
    const then = await others();
    await expect.poll(others).toBeGreaterThan(then + 5);
    expect(await quotes()).toBeLessThanOrEqual(paused + 1);
    await column.locator(".pause").click();
    await expect.poll(quotes).toBeGreaterThan(paused + 3);
  });

  test("runs in one tab of a browser, and moves when it is asked to", async () => {
    const first = await open("ticker.html");
    await heard(first, 2);
    const second = await first.context().newPage();
    await second.goto(first.url());
    await second.locator("#elsewhere").waitFor();
    expect(await second.locator("#other").getAttribute("href")).toBe(first.url().replace("127.0.0.1", "localhost"));
    await second.click("#here");
    await heard(second, 5);
    await expect.poll(() => first.locator("#elsewhere").isVisible()).toBe(true);
    await second.close();
    await expect.poll(() => first.locator("#elsewhere").isVisible()).toBe(false);
    await heard(first, 5); // the counts have begun anew
  });
});

/** Waits until so many listen to a channel, whichever way they do. */
async function subscribers(channel: string, count: number): Promise<void> {
  const answer = async (): Promise<{ subscribers: number }> =>
    (await (await fetch(`${broker.url}/channels/${encodeURIComponent(channel)}`)).json()) as never;
  await expect.poll(async () => (await answer()).subscribers).toBe(count);
}

/** Runs in the page: the texts and labels that are shown and not in the language of the page. */
function shownInOtherLanguage(): string[] {
  const isChinese = document.documentElement.lang.startsWith("zh");
  const isStrange = (text: string): boolean => !isChinese && /\p{Script=Han}/u.test(text);
  const found: string[] = [];
  for (const element of document.querySelectorAll<HTMLElement>("body, body *")) {
    if (element.closest(".languages, pre, code, template")) continue;
    for (const name of ["aria-label", "placeholder", "alt", ...(element.matches("[type=text]") ? ["value"] : [])]) {
      const value = element.getAttribute(name) ?? "";
      const untranslated = isChinese && /\p{L}/u.test(value) && !element.hasAttribute(`data-zh-${name}`);
      if (isStrange(value) || untranslated) found.push(`${name}=${value}`);
    }
    if (!element.checkVisibility()) continue;
    const own = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent!.trim());
    // Text outside of a language is a name or a number; a sentence has words.
    const isSentence = (text: string): boolean => /\p{L}+\s+\p{L}+\s+\p{L}+/u.test(text);
    for (const text of own.filter(Boolean)) {
      const marked = element.closest("[lang]")!.getAttribute("lang")!;
      if (isStrange(text) || marked.slice(0, 2) !== document.documentElement.lang.slice(0, 2)) found.push(text);
      else if (isChinese && element.closest("[lang]") === document.documentElement && isSentence(text)) found.push(text);
    }
  }
  // Every text is there twice, side by side.
  for (const english of document.querySelectorAll("body [lang=en]")) {
    if (english.nextElementSibling?.getAttribute("lang") !== "zh") found.push(`only English: ${english.textContent}`);
  }
  return found;
}

declare global {
  interface Window {
    axe: typeof axe;
    rings: number;
    prices: Record<string, string[]>;
  }
}
