import type { Regularizer } from '@flex/peft';
import { add, mul, reshape, size, slice, square, sub, sum, type Tensor } from '@flex/tensor';
import { defineRecipe } from '@flex/train';

/**
 * Σ (w_{i+1} − w_i)² / n of a matrix flattened row by row: what a smooth signal has little of. f32 [..] → f32
 * [].
 */
function roughness(w: Tensor): Tensor {
  const n = size(w.shape);
  const flat = reshape(w, [n]);
  return mul(sum(square(sub(slice(flat, [1], [n - 1]), slice(flat, [0], [n - 1])))), 1 / n);
}

/** A regularizer of a third party: no package knows of it. */
const totalVariation = (): Regularizer => ({
  name: 'total-variation',
  options: {},
  penalty: (adapters) =>
    [...adapters.values()]
      .flatMap(({ a, b }) => [a, b])
      .map(roughness)
      .reduce(add),
});

const assets = `${import.meta.dirname}/../packages/cli/assets`;

export default defineRecipe({
  model: `${assets}/micro`,
  data: { source: `${assets}/quickstart/tasks.jsonl`, split: '1-80' },
  eval: { source: `${assets}/quickstart/tasks.jsonl`, split: '81-96' },
  regularizer: { use: totalVariation(), lambda: 0.02 },
  optimizer: { name: 'adamw', lr: 1e-3 },
  train: { epochs: 1 },
});
