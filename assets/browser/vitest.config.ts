import { defineConfig } from "vitest/config";

// Browsers and clusters are few: one file after the other, so that what is measured is not the machine's load.
export default defineConfig({
  test: {
    include: ["browser/**/*.test.ts"],
    environment: "node",
    testTimeout: 180_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
