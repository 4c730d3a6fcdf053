import { readLlamaConfig } from '@flex/llama';
import type { TrainConfig } from './config.ts';

/** Bytes of kept activations above which `auto` recomputes them in the backward pass. */
const activationBudget = 4 * 2 ** 30;

/**
 * Whether a run recomputes activations. `auto`: when those of the largest batch would be over 4 GiB (f32, per
 * layer ≈ 12e + 5f + 2·h·t a token).
 */
export function shouldCheckpoint({ model, train, data }: TrainConfig): boolean {
  if (train.checkpointActivations !== 'auto') return train.checkpointActivations;
  const { hiddenSize: e, intermediateSize: f, heads: h, layers } = readLlamaConfig(model);
  const t = data.maxLength;
  return 4 * train.batchSize * t * layers * (12 * e + 5 * f + 2 * h * t) > activationBudget;
}
