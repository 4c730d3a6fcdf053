import {
  add,
  type Backend,
  causalSoftmax,
  gather,
  less,
  mul,
  reshape,
  rope,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { type Past, type RotaryModel, unseenScore } from './past.ts';

/**
 * The past of rows that hold several documents each: a token sees those of its own document up to itself, and
 * the first of each is at position 0, as if each document had a row of its own. `starts` i32 [b, t] is the place
 * in its row of the first token of each token's document. Throws DataError for a document beyond the model's
 * context.
 */
export function documentsPast(
  model: RotaryModel & { readonly backend: Backend },
  starts: Int32Array,
  [b, t]: readonly [b: number, t: number],
): Past {
  const { backend } = model;
  const { headDim: d } = model.config;
  const positions = starts.map((start, i) => (i % t) - start);
  const tables = model.rope(positions.reduce((most, position) => Math.max(most, position), 0) + 1);
  const index = tensor(backend, positions, [b * t], 'i32');
  const angles = { cos: gather(tables.cos, index), sin: gather(tables.sin, index) };
  const columns = tensor(
    backend,
    Float32Array.from({ length: t }, (_, i) => i),
    [t],
  );
  const firsts = tensor(backend, Float32Array.from(starts), [b, 1, t, 1]);
  const mask = mul(less(columns, firsts), unseenScore); // [b, 1, t, t]
  return {
    // All tokens stand where rope expects those of one row.
    rotate: (x: Tensor) => reshape(rope(reshape(x, [1, b * t, x.shape[2], d]), angles), x.shape),
    extend: (_, fresh) => fresh,
    weigh(scores) {
      const [rows, queries] = scores.shape;
      const own = add(reshape(scores, [b, (rows * queries) / (b * t), t, t]), mask);
      const upToItself = { scale: 1 / Math.sqrt(d), queries: t, offset: 0 };
      return causalSoftmax(reshape(own, scores.shape), upToItself);
    },
  };
}
