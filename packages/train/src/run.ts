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
  /** Σ L of the regularizers, before λ. */
  readonly penalty: number;
  /** Global norm before clipping, λ·∇L included. */
  readonly grad_norm: number;
  /** Tokens of the update, padding not counted. */
  readonly tokens: number;
  readonly tokens_per_second: number;
  /** Wall time of the update. */
  readonly seconds: number;
  /** Most bytes of tensors alive at once so far on the device. */
  readonly memory_bytes: number;
  /** Held-out losses after this update, where it was time for them. */
  readonly eval?: Readonly<Record<string, number>>;
  /** What regularizers tell of the adapter and callbacks log. */
  readonly [column: string]: unknown;
}

/** The columns of every line, and of a line with held-out losses. */
export const lineColumns = [
  'step',
  'epoch',
  'lr',
  'loss',
  'penalty',
  'grad_norm',
  'tokens',
  'tokens_per_second',
  'seconds',
  'memory_bytes',
  'eval',
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
  /** What was not done as the model's or the adapter's files say, a line each. */
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
  readonly peak_memory_bytes: number;
}
