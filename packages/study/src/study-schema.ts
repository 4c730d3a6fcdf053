import { pathTo } from '@flex/base';
import { z } from 'zod';

const section = z.record(z.string(), z.unknown()).describe('a section of keys');

/** The controls that every arm with a penalty gets, each where it can be made (see `controlsOf`). */
export const controlNames = [
  'unpenalized',
  'matched-l2',
  'permuted-frequencies',
  'permuted-order',
  'base-model',
] as const;
export type ControlName = (typeof controlNames)[number];

const reason = z
  .string()
  .trim()
  .refine((text) => text.length >= 12)
  .describe('the reason, a sentence that the report quotes');
const control = z
  .union([z.literal('on'), z.strictObject({ off: reason })])
  .describe('on, or {off: the reason, a sentence that the report quotes}')
  .default('on');

/** A factor: values of one key of the run, or levels of one's own, each with the keys that it sets. */
const factor = z
  .union([z.array(z.unknown()).min(1), z.record(z.string(), section)])
  .refine((levels) => Object.keys(levels).length > 0)
  .describe('a list of values, or levels such as {small: {lora.rank: 4}}');

/** Two numbers, the lower one first. */
const range = (least: z.ZodNumber) => z.tuple([least, least]).refine(([low, high]) => low < high);
const distribution = z.union([
  z.array(z.unknown()).min(1),
  z.strictObject({ uniform: range(z.number()) }),
  z.strictObject({ logUniform: range(z.number().positive()) }),
  z.strictObject({ intUniform: range(z.int()) }),
]);
/** Values to choose from, or a distribution to draw from. */
export type Values = z.output<typeof distribution>;
// As one rule, so that it is told as one.
const values = z
  .custom<Values>((value) => distribution.safeParse(value).success)
  .describe(
    'a list of values, {uniform: [0, 1]}, {log_uniform: [1e-4, 1e-2]} or {int_uniform: [1, 8]}, the lower bound first',
  );

/** Successive halving of the trials of a search; see `decideRungs`. */
export const halvingSchema = z.strictObject({
  /** The held-out set that decides; its loss of the arms that are left is then too good to be believed. */
  by: z.string().min(1).describe('the name of a held-out set'),
  /** Updates after which some are dropped. */
  rungs: z
    .array(z.int().min(1))
    .min(1)
    .refine((rungs) => rungs.every((rung, i) => i === 0 || rung > rungs[i - 1]))
    .describe('a list of numbers of updates that rise'),
  /** The share of those at a rung that goes on, at least one. */
  keep: z.number().gt(0).lt(1).default(0.5),
});
export type Halving = z.output<typeof halvingSchema>;

/** Trials: a factor whose levels are drawn, or are all combinations of lists. */
const search = z.strictObject({
  over: z
    .record(z.string(), values)
    .refine((over) => Object.keys(over).length > 0)
    .describe('keys, such as optimizer.lr, each with a list or a distribution'),
  /** How many; null: all combinations of the lists. */
  random: z.int().min(1).max(1000).nullable().default(null),
  /** Decides what is drawn. */
  seed: z.int().min(0).max(0xffffffff).default(0),
  halving: halvingSchema.nullable().default(null),
});

/** An evaluation of each run's adapter: options of `flex eval`. */
export const evaluationSchema = z.strictObject({
  /** What it goes by in records; else the benchmark's name. */
  name: z.string().optional(),
  benchmark: z.string().min(1),
  data: pathTo('dataset').optional(),
  split: z.string().optional(),
  prompt: z.string().optional(),
  merged: z.boolean().default(false),
  n: z.int().min(1).optional(),
  k: z.array(z.int().min(1)).min(1).optional(),
  temperature: z.number().min(0).optional(),
  topP: z.number().optional(),
  topK: z.int().optional(),
  numBeams: z.int().optional(),
  maxNewTokens: z.int().min(1).optional(),
  truncate: z.string().optional(),
});
export type EvaluationOptions = z.output<typeof evaluationSchema>;

const words = z.string().trim().min(1);

/** What somebody said of an arm, to stand beside what the study measures; nothing depends on it. */
export const claimSchema = z.strictObject({
  text: words,
  /** As it was given, such as `42.07 % against 34.2 %`. */
  figure: words,
  /** Who said it. */
  source: words,
  /** The arm that it speaks of. */
  arm: words,
  /** The arm that it is compared with, or `base-model`. */
  against: words.optional(),
  /** The study's measure that speaks to it: `humaneval pass@1`, `mbpp.jsonl 511-600`. */
  measure: words,
});
export type StudyClaim = z.output<typeof claimSchema>;

const seed = z.int().min(0).max(0xffffffff);

/** A study as its file has it. */
export const studySchema = z.strictObject({
  /** What a report is headed by. */
  title: words.optional(),
  /** What is to be known of it before its results, such as where it is not what it repeats. */
  notes: z.array(words).default([]),
  /** The run that all arms begin with: a configuration file, or its keys. */
  base: z.union([pathTo('file'), section]).describe('a configuration file, or the keys of one'),
  /** By name; the arms are all combinations of their levels, and of the trials of `search`. */
  factors: z.record(z.string(), factor).default({}),
  search: search.nullable().default(null),
  /** Of each arm's runs: a list, or how many, from 0. */
  seeds: z
    .union([z.int().min(1).max(1000), z.array(seed).min(1).max(1000)])
    .describe('a number of seeds, or a list of them, 1000 at most')
    .default(3),
  controls: z
    .strictObject({
      unpenalized: control,
      matchedL2: control,
      permutedFrequencies: control,
      permutedOrder: control,
      baseModel: control,
    })
    .prefault({}),
  evaluations: z.array(evaluationSchema).default([]),
  claims: z.array(claimSchema).default([]),
  out: pathTo('output'),
});
export type StudyOptions = z.output<typeof studySchema>;
