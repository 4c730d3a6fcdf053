import type { Tensor } from '@flex/tensor';
import type { Adapters } from './adapters.ts';

/**
 * A penalty on the adapter's weights, added to the loss as λ·penalty; λ is the caller's. A plain value that
 * remembers nothing: `{ penalty: (adapters) => … }`.
 * `checkRegularizer` of `@flex/peft/testing` tests one in a line.
 */
export interface Regularizer {
  /** L before λ: f32 [], made of ops, so that it can be differentiated. `step` counts updates from 1. */
  penalty(adapters: Adapters, step: number): Tensor;
  /** Further numbers for the run's metrics, read back from the device. */
  diagnostics?(adapters: Adapters): Promise<Record<string, number>>;
}

/** What a run tells the parts that make its regularizers. */
export interface RegularizerContext {
  /** The run's own, `train.seed`. */
  readonly seed: number;
  /** Makes the adapter as it was before the first update, for a penalty on the change since. */
  start(): Adapters;
}
