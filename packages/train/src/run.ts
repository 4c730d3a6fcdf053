// What is told of a run: before its first update, after each, and in the end.

/** A line of metrics.jsonl. */
export interface StepMetrics {
  /** From 1. */
  readonly step: number;
  /** Passes over the data done after this update, as a fraction. */
  readonly epoch: number;
  readonly lr: number;
  /** Mean cross-entropy over the update's scored tokens, nats. */
  readonly loss: number;
  /** Σ L of the regularizers, before λ. Where they are several, `penalty.<label>` is the L of one. */
  readonly penalty: number;
  /** Global norm before clipping, λ·∇L included. */
  readonly grad_norm: number;
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
  /** Held-out losses after this update, where it was time for them. */
  readonly eval?: Readonly<Record<string, number>>;
  /** What the optimizer finds wrong, in words; each line of words stands once in a run. */
  readonly warnings?: readonly string[];
  /** What the optimizer tells of the update, regularizers of the adapter, and what callbacks log. */
  readonly [column: string]: unknown;
}

/** The columns that are the run's own. */
export const lineColumns = [
  'step',
  'epoch',
  'lr',
  'loss',
  'penalty',
  'grad_norm',
  'update_ratio',
  'tokens',
  'tokens_per_second',
  'seconds',
  'curvature_seconds',
  'memory_bytes',
  'eval',
  'warnings',
] as const satisfies readonly (keyof StepMetrics)[];

/** What is known of a run before its first update. */
export interface RunInfo {
  readonly out: string;
  readonly device: string;
  readonly model: string;
  readonly trainableParameters: number;
  readonly examples: number;
  /** Rows of training and held-out data that were left out or cut, and why; how examples were packed. */
  readonly notes: readonly string[];
  /** What was not done as the model's or the adapter's files say, and penalties that leave nothing to learn. */
  readonly warnings: readonly string[];
  /** Updates of the whole run. */
  readonly steps: number;
  /** Updates already done, when resuming. */
  readonly done: number;
}

/** How a run ended. Also written as summary.json. */
export interface RunSummary {
  readonly status: 'done' | 'interrupted';
  /** Of everything that decides the run's numbers. */
  readonly digest: string;
  readonly steps: number;
  /** Why a callback ended the run before its last update, where one did. */
  readonly stopped?: string;
  readonly out: string;
  readonly adapter: string;
  /**
   * Held-out losses by name, nats a token: before the first update (of this process, where it resumed) and
   * after the last; empty where the run was interrupted.
   */
  readonly eval: Readonly<Record<string, { readonly before: number; readonly after: number }>>;
  /** Losses of the first and the last update of this process; null where it made none. */
  readonly loss: { readonly first: number | null; readonly last: number | null };
  readonly tokens: number;
  readonly seconds: number;
  readonly tokens_per_second: number;
  /** Share of the updates' time that went into estimates of the curvature, where the optimizer takes any. */
  readonly curvature_share?: number;
  readonly peak_memory_bytes: number;
}
