/**
 * Pages without Playwright, which keeps its pages visible and awake: these can be frozen and go into the back/forward cache. One
 * context of the browser, as a profile.
 */
import type { Browser, CDPSession } from "playwright-core";

/** An answer or an event of the DevTools protocol. */
interface Message {
  id?: number;
  result?: { exceptionDetails?: unknown };
  error?: unknown;
  method?: string;
  params?: { type?: string };
}

export class BareContext {
  private constructor(
    readonly cdp: CDPSession,
    readonly id: string,
  ) {}

  static async open(browser: Browser): Promise<BareContext> {
    const cdp = await browser.newBrowserCDPSession();
    const { browserContextId } = await cdp.send("Target.createBrowserContext", {});
    return new BareContext(cdp, browserContextId);
  }

  async newPage(url: string): Promise<BarePage> {
    const { targetId } = await this.cdp.send("Target.createTarget", { url: "about:blank", browserContextId: this.id });
    const { sessionId } = await this.cdp.send("Target.attachToTarget", { targetId, flatten: false });
    const page = new BarePage(this.cdp, sessionId);
    await page.send("Page.enable");
    await page.goto(url);
    return page;
  }

  async close(): Promise<void> {
    await this.cdp.send("Target.disposeBrowserContext", { browserContextId: this.id });
    await this.cdp.detach();
  }
}

export class BarePage {
  readonly #cdp: CDPSession;
  readonly #sessionId: string;
  #last = 0;

  constructor(cdp: CDPSession, sessionId: string) {
    this.#cdp = cdp;
    this.#sessionId = sessionId;
  }

  async send(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#last;
    const answered = this.#next((message) => message.id === id);
    await this.#cdp.send("Target.sendMessageToTarget", { sessionId: this.#sessionId, message: JSON.stringify({ id, method, params }) });
    const { result, error } = await answered;
    if (error || result?.exceptionDetails) throw new Error(`${method}: ${JSON.stringify(error ?? result)}`);
    return result;
  }

  /** As Playwright's: runs a function in the page. */
  async evaluate<R, A = void>(call: (argument: A) => R, argument?: A): Promise<Awaited<R>> {
    const expression = `(${String(call)})(${JSON.stringify(argument) ?? ""})`;
    const { result } = (await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true })) as {
      result: { value: Awaited<R> };
    };
    return result.value;
  }

  async goto(url: string): Promise<void> {
    const loaded = this.#next((message) => message.method === "Page.loadEventFired");
    await this.send("Page.navigate", { url });
    await loaded;
  }

  /** Goes back to the page before, which the browser has kept as it was. */
  async back(): Promise<void> {
    const { entries, currentIndex } = (await this.send("Page.getNavigationHistory")) as {
      entries: { id: number }[];
      currentIndex: number;
    };
    const gone = this.#next(
      ({ method, params }) => method === "Page.backForwardCacheNotUsed" || params?.type === "BackForwardCacheRestore",
    );
    await this.send("Page.navigateToHistoryEntry", { entryId: entries[currentIndex - 1]!.id });
    const { method, params } = await gone;
    if (method === "Page.backForwardCacheNotUsed") throw new Error(`the page was not kept: ${JSON.stringify(params)}`);
  }

  #next(isIt: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve) => {
      const hear = ({ sessionId, message }: { sessionId: string; message: string }): void => {
        const read = JSON.parse(message) as Message;
        if (sessionId !== this.#sessionId || !isIt(read)) return;
        this.#cdp.off("Target.receivedMessageFromTarget", hear);
        resolve(read);
      };
      this.#cdp.on("Target.receivedMessageFromTarget", hear);
    });
  }
}
