/** Frames and workers of an opaque origin, at a broker that allows pages of any origin. */
import { expect, test } from "vitest";
import { openPage } from "./browser.js";
import { broker, browser, setStage, site } from "./stage.js";

setStage({ settings: { WIDECAST_SERVER_ALLOWED_ORIGINS: "*" } });

test("a sandboxed frame has channels of its own, unless it names a broker", async () => {
  const page = await openPage(await browser.newContext(), `http://localhost:${site.port}/`);
  const told = await page.evaluate(async (url) => {
    const ask = (options: object): Promise<unknown> => {
      const frame = document.createElement("iframe");
      frame.setAttribute("sandbox", "allow-scripts");
      frame.srcdoc = `<script src="${url}/client/widecast.iife.js"></script><script>
        const channel = new Widecast.WidecastChannel("opaque", ${JSON.stringify(options)});
        channel.ready.then(() => "heard everywhere", ({ code }) => code).then((told) => parent.postMessage([origin, told], "*"));
      </script>`;
      document.body.append(frame);
      return new Promise((resolve) => addEventListener("message", ({ data }) => resolve(data), { once: true }));
    };
    return [await ask({}), await ask({ broker: url })];
  }, broker.url);
  expect(told).toEqual([
    ["null", "local_only"],
    ["null", "heard everywhere"],
  ]);
});
