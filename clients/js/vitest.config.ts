import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      { test: { name: "node", include: ["test/*.test.ts"] } },
      { test: { name: "browser", include: ["test/browser/*.test.ts"], testTimeout: 60_000, hookTimeout: 30_000, expect: { poll: { timeout: 20_000 } }, fileParallelism: false } },
    ],
  },
});
