import type { Tensor } from '@flex/tensor';
import { embedding } from './adapters.ts';

/**
 * Factors of the learning rate by flat name, LoRA+'s: `ratio` for each B and for all vectors, such as DoRA's
 * magnitudes, and 1 for all else, both matrices of the embedding's adapter among them.
 * Source: Hayou et al., LoRA+: Efficient Low Rank Adaptation of Large Models, 2024; the vectors are PEFT's.
 */
export function learningRateFactors(
  weights: ReadonlyMap<string, Tensor>,
  ratio: number,
): ReadonlyMap<string, number> {
  const isFast = (name: string, { shape }: Tensor) =>
    (name.endsWith('.b') && !name.startsWith(`${embedding}.`)) || shape.length === 1;
  return new Map([...weights].map(([name, t]) => [name, isFast(name, t) ? ratio : 1]));
}
