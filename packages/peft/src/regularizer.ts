import type { Tensor } from '@flex/tensor';
import type { Adapters } from './adapters.ts';

/**
 * A penalty on the adapter's weights, added to the loss as λ·penalty; λ is the caller's. A plain value that
 * remembers nothing: `{ name: 'l1', options: {}, penalty: (adapters) => … }`.
 * `checkRegularizer` of `@flex/peft/testing` tests one in a line.
 */
export interface Regularizer {
  readonly name: string;
  /** Everything that decides its value, for a run's manifest. */
  readonly options: object;
  /** L before λ: f32 [], made of ops, so that it can be differentiated. `step` counts updates from 1. */
  penalty(adapters: Adapters, step: number): Tensor;
  /** Further numbers for the run's metrics, read back from the device. */
  diagnostics?(adapters: Adapters): Promise<Record<string, number>>;
}
