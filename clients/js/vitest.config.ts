import { defineConfig } from "vitest/config";

const inBrowsers = { testTimeout: 60_000, hookTimeout: 60_000, expect: { poll: { timeout: 20_000 } } };

/** Those of `test/browser` that run in every engine; the others need what only Chromium's driver can do. */
const ANY_ENGINE = ["semantics", "replaced", "network", "reconnect", "bridge", "gzip", "jsonp", "legacy", "tabs", "credentials"];

export default defineConfig({
  test: {
    // What runs in browsers waits more than it works, and what runs in Node still more (package.json has 4 for that).
    maxWorkers: 3,
    projects: [
      {
        test: {
          name: "node",
          include: ["test/*.test.ts"],
          testTimeout: 30_000,
          hookTimeout: 30_000,
          expect: { poll: { timeout: 20_000 } },
        },
      },
      { test: { name: "browser", include: ["test/browser/*.test.ts"], ...inBrowsers } },
      {
        test: {
          name: "firefox",
          include: ANY_ENGINE.map((name) => `test/browser/${name}.test.ts`),
          env: { ENGINE: "firefox" },
          ...inBrowsers,
        },
      },
    ],
  },
});
