// What is told of a run: before its first update, after each, and in the end.

import type { Provenance } from '@flex/base';
import type { BestUpdate } from './best-update.ts';
import { penaltyKeys } from './regularizer-columns.ts';

/** A line of metrics.jsonl. */
export interface StepMetrics {
  /** From 1. */
  readonly step: number;
  /** Passes over the data done after this update, as a fraction. */
  readonly epoch: number;
  readonly lr: number;
  /** Mean cross-entropy over the update's scored tokens, nats. */
  readonly loss: number;
  /** Σ L of the regularizers, before λ; of one alone see `penaltyColumns`. */
  readonly penalty: number;
  /** Global norm before clipping, λ·∇L of the regularizers that join the loss included. */
  readonly grad_norm: number;
  /** That of the loss alone, without regularizers. */
  readonly task_grad_norm: number;
  /** ‖change‖ / ‖weights‖ over all that is trained. */
  readonly update_ratio: number;
  /** Tokens of the update, padding not counted. */
  readonly tokens: number;
  readonly tokens_per_second: number;
  /** Wall time of the update. */
  readonly seconds: number;
  /** Those of them that went into the optimizer's estimate of the curvature, where one was due. */
  readonly curvature_seconds?: number;
  /** Most bytes of tensors alive at once so far on the device. */
  readonly memory_bytes: number;
  /**
   * Share of the power of A and B at low frequencies, where it was time for an evaluation; see `measureOf`.
   */
  readonly share_below?: number;
  /** Held-out losses after this update, where it was time for them. */
  readonly eval?: Readonly<Record<string, number>>;
  /** What is found wrong, in words; each line of words stands once in a run. */
  readonly warnings?: readonly string[];
  /** Why the run ends with this update before its last, where it does. */
  readonly stopped?: string;
  /** What the optimizer tells of the update, regularizers of the adapter, and what callbacks log. */
  readonly [column: string]: unknown;
}

/** The columns that are the run's own. */
const lineColumns = [
  'step',
  'epoch',
  'lr',
  'loss',
  'penalty',
  'grad_norm',
  'task_grad_norm',
  'update_ratio',
  'tokens',
  'tokens_per_second',
  'seconds',
  'curvature_seconds',
  'memory_bytes',
  'share_below',
  'eval',
  'warnings',
  'stopped',
] as const satisfies readonly (keyof StepMetrics)[];

/** Whether a column is the run's own: one of those, or of a regularizer's update, `penalty.l2`. */
export function isRunColumn(name: string): boolean {
  const [key, label] = name.split('.', 2);
  return (
    (lineColumns as readonly string[]).includes(name) ||
    (label !== undefined && (penaltyKeys as readonly string[]).includes(key))
  );
}

/** The first line of metrics.jsonl where data is held out: its losses before the first update. */
export interface BaselineLine {
  readonly step: 0;
  readonly epoch: 0;
  readonly eval: Readonly<Record<string, number>>;
}

/**
 * The columns of metrics.jsonl and the members of summary.json that measure the machine. All others have the
 * same bytes whether a run was stopped and resumed or not.
 */
export const measurements = [
  'tokens_per_second',
  'seconds',
  'curvature_seconds',
  'curvature_share',
  'memory_bytes',
  'peak_memory_bytes',
] as const satisfies readonly (keyof StepMetrics | keyof RunSummary)[];

/** What is known of a run before its first update. */
export interface RunInfo {
  readonly out: string;
  readonly device: string;
  readonly model: string;
  readonly trainableParameters: number;
  readonly examples: number;
  /** Rows of training and held-out data that were left out or cut, and why; how examples were packed. */
  readonly notes: readonly string[];
  /** What was not done as the model's or the adapter's files say. */
  readonly warnings: readonly string[];
  /** Updates of the whole run. */
  readonly steps: number;
  /** Updates already done, when resuming. */
  readonly done: number;
}

/**
 * How a run ended: the whole of it, also where it was resumed. Also written as summary.json, which is not
 * there while a run goes on, nor where it was killed.
 */
export interface RunSummary {
  readonly status: 'done' | 'interrupted' | 'failed';
  /** What went wrong, where it failed: one line. */
  readonly error?: string;
  /** Of everything that decides the run's numbers. */
  readonly digest: string;
  /** Updates done. */
  readonly steps: number;
  /** Why the run ended before its last update, where a callback or `train.patience` ended it. */
  readonly stopped?: string;
  readonly out: string;
  readonly adapter: string;
  /**
   * Held-out losses by name, nats a token: before the first update and after the last; empty where the run is
   * not done.
   */
  readonly eval: Readonly<Record<string, { readonly before: number; readonly after: number }>>;
  /**
   * The evaluated update with the lowest held-out loss, see `train.best_by`, and the checkpoint's adapter, or
   * null where none was saved; left out where no update was evaluated.
   */
  readonly best?: BestUpdate & { readonly adapter: string | null };
  /** Losses of the first and the last update; null where none was made. */
  readonly loss: { readonly first: number | null; readonly last: number | null };
  readonly tokens: number;
  /** Wall time of the updates, without evaluations and what lies between processes. */
  readonly seconds: number;
  readonly tokens_per_second: number;
  /** Share of the updates' time that went into estimates of the curvature, where the optimizer takes any. */
  readonly curvature_share?: number;
  readonly peak_memory_bytes: number;
  /** Of the whole run: that of its manifest, and when this summary was written. */
  readonly provenance: Provenance;
}
