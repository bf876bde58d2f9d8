import { defineConfig } from "vitest/config";

// A browser on a busy machine takes its time.
export default defineConfig({ test: { include: ["tests/*.test.ts"], testTimeout: 60_000 } });
