/** Pages that may not connect to the broker, and reach it through a frame of its own page. */
import { expect } from "vitest";
import type * as Client from "../../src/index.js";
import { openPage } from "./browser.js";
import type { EnginePage } from "./engine.js";

declare const Widecast: typeof Client;

/** Patient, since the machine may be busy; quick to come back. */
export const OPTIONS = { bridge: true, connectTimeout: 15_000, minDelay: 50, maxDelay: 300 };

/** A page of the site that its policy lets connect to nobody but the site. */
export function confined<P extends EnginePage>(
  context: { newPage(): Promise<P> },
  site: { port: number },
  host = "localhost",
  headers?: object,
): Promise<P> {
  const query = headers ? `?headers=${encodeURIComponent(JSON.stringify(headers))}` : "";
  return openPage(context, `http://${host}:${site.port}/confined.html${query}`);
}

/** What `listen` leaves in the page. */
export interface Listening {
  connection: Client.Connection;
  channel: Client.WidecastChannel;
  heard: { data: unknown; origin: string }[];
  gaps: number;
}

/** Joins the channel `bridge`, and keeps what comes. */
export async function listen(page: Pick<EnginePage, "evaluate">, url: string, options: object = OPTIONS): Promise<void> {
  await page.evaluate(
    async ([url, options]) => {
      const connection = Widecast.connect(url, options);
      const channel = new Widecast.WidecastChannel("bridge", { broker: connection });
      const listening: Listening = { connection, channel, heard: [], gaps: 0 };
      channel.onmessage = ({ data, origin }) => listening.heard.push({ data, origin });
      channel.addEventListener("gap", () => listening.gaps++);
      Object.assign(self, { listening });
      await channel.ready;
    },
    [url, options] as const,
  );
}

export const post = (page: EnginePage, data: unknown): Promise<void> =>
  page.evaluate((data) => self.listening.channel.postMessage(data), data);
export const frames = (page: EnginePage): Promise<number> => page.evaluate(() => document.querySelectorAll("iframe").length);

/** Waits until the page has heard exactly this, and has been told of so many gaps. */
export async function hears(page: Pick<EnginePage, "evaluate">, data: unknown[], gaps = 0): Promise<void> {
  const heard = () => page.evaluate(() => ({ data: self.listening.heard.map(({ data }) => data), gaps: self.listening.gaps }));
  await expect.poll(heard, { timeout: 20_000 }).toEqual({ data, gaps });
}

/** How many sessions listen to the channel. */
export async function subscribers(broker: { url: string }): Promise<number> {
  const answer = await fetch(`${broker.url}/channels/bridge`);
  return ((await answer.json()) as { subscribers: number }).subscribers;
}

declare global {
  interface Window {
    listening: Listening;
  }
}
