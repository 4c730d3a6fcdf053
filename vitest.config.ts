import { randomInt } from 'node:crypto';
import { defineConfig } from 'vitest/config';

// Drawn here, once, and inherited by every worker, so that all tests of a run share it.
process.env.FLEX_FC_SEED ||= String(randomInt(2 ** 31));
// A path with a slip may have the form of a hub's name: no test asks the hub but those that bring one.
process.env.HF_HUB_OFFLINE = '1';

export default defineConfig({
  test: {
    // One Dawn instance a process, for the life of that process: threads would share it.
    pool: 'forks',
    maxWorkers: 2,
    include: ['packages/*/src/**/*.test.ts', 'scripts/*.test.ts'],
    setupFiles: ['scripts/fast-check-setup.ts'],
    reporters: ['default', './scripts/counting-reporter.mjs'],
    // Limits for what hangs: a slow or busy machine is no failure.
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
