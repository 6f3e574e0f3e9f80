/**
 * The browsers that the same tests run in: Chromium, or Firefox where the environment variable ENGINE says so. What both
 * drivers offer, Playwright and Puppeteer, is little more than evaluating functions in pages, and the tests do with that.
 */
import puppeteer, { type BrowserContext as FirefoxContext } from "puppeteer-core";
import { startBrowser } from "./browser.js";

export const ENGINE = process.env["ENGINE"] === "firefox" ? "firefox" : "chromium";

export interface EngineBrowser {
  /** A profile of its own, as another machine has it. */
  newContext(): Promise<EngineContext>;
  contexts(): EngineContext[];
  close(): Promise<void>;
}

export interface EngineContext {
  newPage(): Promise<EnginePage>;
  close(): Promise<void>;
}

export interface EnginePage {
  goto(url: string): Promise<unknown>;
  evaluate<Output, Input>(run: (input: Input) => Output | Promise<Output>, input: Input): Promise<Output>;
  evaluate<Output>(run: () => Output | Promise<Output>): Promise<Output>;
  on(type: "pageerror", listener: (error: Error) => void): unknown;
  context(): EngineContext;
}

export async function startEngine(engine = ENGINE): Promise<EngineBrowser> {
  return engine === "firefox" ? startFirefox() : startBrowser();
}

const PREFERENCES = {
  // Sites with names of their own.
  "network.dns.localDomains": ["app", "evil", "push"].map((name) => `${name}.example.test`).join(),
  // Pages behind others have timers as fast as the one in front.
  "dom.timeout.enable_budget_timer_throttling": false,
  "dom.min_background_timeout_value_without_budget_throttling": 4,
};

async function startFirefox(): Promise<EngineBrowser> {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env["FIREFOX"] ?? "/usr/bin/firefox-esr",
    headless: true,
    extraPrefsFirefox: PREFERENCES,
  });
  const contexts = new Set<EngineContext>();
  return {
    async newContext() {
      const context = firefoxContext(await browser.createBrowserContext(), () => contexts.delete(context));
      contexts.add(context);
      return context;
    },
    contexts: () => [...contexts],
    close: () => browser.close(),
  };
}

/** What Firefox says of networks that fail, as if it were an error of the page. */
const NETWORK =
  /^(Firefox can’t establish a connection|The connection to .* was interrupted|Cross-Origin .* did not succeed|Cross-Origin Request Blocked|Content-Security-Policy: The page’s settings blocked)/;

function firefoxContext(own: FirefoxContext, closed: () => void): EngineContext {
  const context: EngineContext = {
    async newPage() {
      const page = await own.newPage();
      return {
        context: () => context,
        goto: (url) => page.goto(url),
        evaluate: (run: (input?: never) => unknown, input?: never) => page.evaluate(run, input) as Promise<never>,
        on: (type, listener) => page.on(type, (error) => NETWORK.test((error as Error).message) || listener(error as Error)),
      };
    },
    async close() {
      closed();
      await own.close();
    },
  };
  return context;
}
