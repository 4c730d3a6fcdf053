import { reshape, rope, type Tensor } from '@flex/tensor';
import { attendWithin, type Past, type RotaryModel } from './past.ts';

/**
 * The past of rows that hold several documents each: a token sees those of its own document up to itself, and
 * the first of each is at position 0, as if each document had a row of its own. `starts` i32 [b, t] is the place
 * in its row of the first token of each token's document.
 */
export function documentsPast(
  model: RotaryModel,
  starts: Int32Array,
  [b, t]: readonly [b: number, t: number],
): Past {
  const { headDim: d } = model.config;
  const positions = starts.map((start, i) => (i % t) - start);
  const lengths = positions.map((position) => position + 1);
  for (let i = lengths.length - 2; i >= 0; i--) if (positions[i + 1] > 0) lengths[i] = lengths[i + 1];
  const angles = model.ropeAt(positions, lengths);
  return {
    // All tokens stand where rope expects those of one row.
    rotate: (x: Tensor) => reshape(rope(reshape(x, [1, b * t, x.shape[2], d]), angles), x.shape),
    extend: (_, fresh) => fresh,
    attend: attendWithin(model, [b, t], (i) => [starts[i], i % t]),
  };
}
