import type { Section } from '@flex/train';
import type { StudyClaim } from '../study-schema.ts';

/**
 * How the paper is read. `printed`: what its text says. `script`: what its published scripts do where they were
 * read, which is not everywhere. `corrected`: the same question by a sound protocol.
 */
export const readings = ['printed', 'script', 'corrected'] as const;
export type Reading = (typeof readings)[number];

/** Rows of a file. */
export interface Rows {
  readonly source: string;
  readonly split: string;
}

/** What a round is made with: absolute paths. */
export interface RoundMaterial {
  readonly model: string;
  /**
   * Whether the model is the bundled one, which has seen MBPP's train split and solves no benchmark's problem: its
   * rates are others, and what is measured are held-out losses.
   */
  readonly isMicro: boolean;
  /** MBPP, or rows that stand in for it. */
  readonly mbpp: {
    readonly train: Rows;
    /** What the paper's text trains on. */
    readonly all: Rows;
    readonly heldOut: Rows;
    /** Python that is held out where all of MBPP is trained on. */
    readonly elsewhere: Rows;
  };
  /** Held out. */
  readonly java: Rows;
  /** APPS, or null where the rows of `mbpp` stand in for it. */
  readonly apps: { readonly train: Rows; readonly heldOut: Rows } | null;
  /** Data of HumanEval and of MultiPL-E in Java; null where pass@1 is not measured. */
  readonly benchmarks: { readonly humanEval: string; readonly java: string } | null;
  /** What takes the place of what, in sentences. */
  readonly notes: readonly string[];
}

/** A round of the paper. */
export interface Round {
  readonly title: string;
  /** What it is in one reading, without what all rounds share. */
  make(reading: Reading, material: RoundMaterial): RoundPart;
}

export interface RoundPart {
  /** Over the base that all rounds share. */
  readonly base: Section;
  readonly factors: Section;
  readonly seeds: number;
  /** Whether adapters are also judged folded into the weights. */
  readonly isMerged?: boolean;
  readonly claims: readonly RoundClaim[];
  /** Where this is not what was done, and why. */
  readonly notes: readonly string[];
}

/** A claim on the Python or the Java that a material measures. */
export interface RoundClaim extends Omit<StudyClaim, 'measure'> {
  readonly measure: 'python' | 'java' | 'java-merged' | 'python-merged';
}
