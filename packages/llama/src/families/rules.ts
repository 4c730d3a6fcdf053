import * as z from 'zod';

// What values of config.json may be, in words.

const countRule = 'must be a whole number > 0';
export const count = z.int(countRule).positive(countRule);
/** A token's id; below 0, as some files have it, there is no such token. */
export const id = z.int('must be a token id, a whole number');
export const ids = z.union([id, z.array(id)], 'must be a token id or a list of them').nullish();
const positiveRule = 'must be a number > 0';
export const positive = z.number(positiveRule).positive(positiveRule);
const finiteRule = 'must be a number';
export const finite = z.number(finiteRule);
const factorRule = 'must be a number ≥ 1';
export const factor = z.number(factorRule).min(1, factorRule);
export const absent = (feature: string) =>
  z.literal(false, `must be false: ${feature} not supported`).default(false);
