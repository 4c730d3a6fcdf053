import type { Tensor } from '@flex/tensor';

/** Adapter tensors by PEFT's names: `base_model.model.<module path>.lora_A.weight`, f32 [r, in], and lora_B. */
export type Parameters = ReadonlyMap<string, Tensor>;

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
  penalty(adapters: Parameters, step: number): Tensor;
  /** Further numbers for the run's metrics, read back from the device. */
  diagnostics?(adapters: Parameters): Promise<Record<string, number>>;
}
