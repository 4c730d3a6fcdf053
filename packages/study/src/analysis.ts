import type { Control } from './arms.ts';

/**
 * What is measured of every run: the loss on a held-out set after the last update, or an evaluation's pass@k.
 */
export interface Measure {
  /** `tasks.jsonl 81-96`, or `humaneval pass@1`. */
  readonly name: string;
  readonly kind: 'held-out-loss' | 'pass';
  /** Nats a token, or a share of 1. */
  readonly unit: 'nats' | 'share';
  readonly lowerIsBetter: boolean;
  /** Examples or problems. */
  readonly n: number;
}

/**
 * An estimate with its 95 % interval; null where there is none: of one seed, of one example, of seeds that
 * gave the same to the bit.
 */
export interface Estimate {
  readonly value: number;
  readonly ci95: readonly [number, number] | null;
}

/** An arm on a measure; there is none of an arm without a run that is done. */
export interface ArmResult {
  readonly arm: string;
  readonly measure: string;
  /** Over seeds, on these examples. */
  readonly mean: Estimate;
  /** Of each seed that is done. */
  readonly bySeed: readonly { readonly seed: number; readonly value: number }[];
}

/** What comparisons ask: those that ask the same are corrected for together. */
export const questions = ['controls', 'levels', 'base-model'] as const;
export type Question = (typeof questions)[number];

/** The comparisons that are corrected for together. */
export interface Family {
  readonly question: Question;
  /** How many there are, on all measures. */
  readonly comparisons: number;
  /** Those of them that have two seeds, and so a p, which is corrected for so many. */
  readonly tested: number;
  /** What is compared with what, in words. */
  readonly text: string;
}

/** An arm against another one on one measure, over the seeds that both have. */
export interface Contrast {
  readonly question: Question;
  readonly arm: string;
  /** Null: the base model, before any update. */
  readonly against: string | null;
  /** What the other is to the arm; null for two levels of a factor. */
  readonly control: Control['kind'] | 'base-model' | null;
  readonly measure: string;
  /** The arm's less the other's, for other seeds and other examples like these. */
  readonly difference: Estimate;
  readonly bySeed: readonly { readonly seed: number; readonly value: number }[];
  /** Two-sided, at most 0.05 only where the interval leaves out 0; null where there is none. */
  readonly p: number | null;
  /** Corrected by Holm for its family. */
  readonly pHolm: number | null;
  /** The smallest true difference that a study like this finds, pHolm ≤ 0.05, 80 % of times. */
  readonly detectable: number | null;
}

/** What a study found, in figures. */
export interface StudyFigures {
  readonly measures: readonly Measure[];
  /** The model before any update on each measure; it has no seeds, so no interval over them. */
  readonly base: readonly { readonly measure: string; readonly value: number }[];
  readonly arms: readonly ArmResult[];
  readonly contrasts: readonly Contrast[];
  readonly families: readonly Family[];
}

/** What follows from a study's figures, and what does not: sentences. */
export interface Conclusions {
  readonly overall: readonly string[];
  /** Of each arm on each measure. */
  readonly armByArm: readonly string[];
}

/** What a study says. */
export interface StudyAnalysis extends StudyFigures {
  readonly conclusions: Conclusions;
  /** What limits them: seeds, runs that are missing, controls that were switched off. */
  readonly caveats: readonly string[];
}
