import { definePart } from '@flex/base';
import type { Regularizer } from '@flex/peft';
import { add, mul, reshape, size, slice, square, sub, sum, type Tensor } from '@flex/tensor';
import { defineRecipe, use } from '@flex/train';
import { z } from 'zod';

/**
 * Σ (Δᵏw)² / n of a matrix flattened row by row, where (Δw)ᵢ = w_{i+1} − w_i: what a smooth signal has
 * little of. f32 [..] → f32 [].
 */
function roughness(w: Tensor, k: number): Tensor {
  const n = size(w.shape);
  let signal = reshape(w, [n]);
  for (let length = n - 1; length >= n - k; length--) {
    signal = sub(slice(signal, [1], [length]), slice(signal, [0], [length]));
  }
  return mul(sum(square(signal)), 1 / n);
}

/** A regularizer of a third party: no package knows of it. */
export const totalVariation = definePart({
  name: 'total-variation',
  schema: z.strictObject({
    /** k: how often differences are taken. */
    order: z.int().min(1).max(4).default(1),
  }),
  make: ({ order }): Regularizer => ({
    penalty: (adapters) =>
      [...adapters.values()]
        .flatMap(({ a, b }) => [a, b])
        .map((w) => roughness(w, order))
        .reduce(add),
  }),
});

const assets = `${import.meta.dirname}/../packages/cli/assets`;

export default defineRecipe({
  model: `${assets}/micro`,
  data: { source: `${assets}/quickstart/tasks.jsonl`, split: '1-80' },
  eval: { source: `${assets}/quickstart/tasks.jsonl`, split: '81-96' },
  regularizer: use(totalVariation, { lambda: 0.02 }),
  optimizer: { name: 'adamw', lr: 1e-3 },
  train: { epochs: 1 },
});
