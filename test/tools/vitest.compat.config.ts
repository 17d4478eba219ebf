import { defineConfig } from "vitest/config";

// Clients of etcd as their users have them. Each file starts clusters of processes, so they run one after the other.
export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/compat/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    fileParallelism: false,
  },
});
