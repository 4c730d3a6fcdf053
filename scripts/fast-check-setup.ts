import fc from 'fast-check';

// One seed for the whole run: vitest.config.ts draws it, and the reporter prints it.
fc.configureGlobal({ seed: Number(process.env.FLEX_FC_SEED) });
