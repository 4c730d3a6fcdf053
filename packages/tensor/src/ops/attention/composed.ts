import { arange, type Tensor } from '../../tensor.ts';
import { add, mul, sub } from '../arithmetic.ts';
import { cast } from '../cast.ts';
import { greater, less, maximum } from '../comparison.ts';
import { exp } from '../functions.ts';
import { matmul } from '../matmul.ts';
import { permute } from '../permute.ts';
import { reshape } from '../reshape.ts';
import { slice } from '../slice-pad.ts';
import { logSumExp } from '../softmax.ts';
import { type AttentionAttrs, type AttentionSizes, sizesOf } from './problem.ts';

// Attention and its gradients made of products, with all scores of a head at once: the definition, and what
// is differentiated where a gradient's gradient is asked for.

/** Added to the score of a key that is not to be seen: its weight is 0, and it changes no other. */
const unseenScore = -1e30;

/** [b, n, heads, d] → [b·kv, group·n, d]: the heads of a group share keys and values. */
function byHead(x: Tensor, { b, kv }: AttentionSizes): Tensor {
  const [, n, heads, d] = x.shape;
  return reshape(permute(cast(x, 'f32'), [0, 2, 1, 3]), [b * kv, (heads * n) / kv, d]);
}

/** The way back, to the shape of x [b, n, heads, d]. */
function asBefore(y: Tensor, x: Tensor): Tensor {
  const [b, n, heads, d] = x.shape;
  return permute(reshape(y, [b, heads, n, d]), [0, 2, 1, 3]);
}

/** A number for each query of each head: [b, t, h] → [b·kv, group·t, 1]. */
const byRow = (x: Tensor, { b, t, kv, group }: AttentionSizes): Tensor =>
  reshape(permute(x, [0, 2, 1]), [b * kv, group * t, 1]);

/** scale·q·kᵀ, those that are not seen far below all others: [b·kv, group·t, s]. */
function scoresOf(
  [q, k]: readonly Tensor[],
  seen: Tensor | undefined,
  { scale, offset }: AttentionAttrs,
): Tensor {
  const sizes = sizesOf([q, k]);
  const { b, t, h, s } = sizes;
  const products = matmul(byHead(q, sizes), byHead(k, sizes), { transposeB: true });
  const keys = arange(q.backend, s);
  const bounds = seen && cast(seen, 'f32');
  const bound = (end: 0 | 1) => reshape(slice(bounds!, [0, 0, end], [b, t, 1]), [b, 1, t, 1]);
  const outside = bounds
    ? add(less(keys, bound(0)), greater(keys, maximum(bound(0), bound(1)))) // [b, 1, t, s]
    : greater(keys, reshape(add(arange(q.backend, t), offset), [t, 1])); // [t, s]
  const scores = reshape(mul(products, scale), [b, h, t, s]);
  return reshape(add(scores, mul(outside, unseenScore)), products.shape);
}

/** The mixed values [b, t, h, d], and ln Σ e^score of each query [b, t, h]. */
export function composedAttention(
  [q, k, v, seen]: readonly Tensor[],
  attrs: AttentionAttrs,
): [mixed: Tensor, lse: Tensor] {
  const sizes = sizesOf([q, k]);
  const { b, t, h } = sizes;
  const scores = scoresOf([q, k], seen, attrs);
  const lse = logSumExp(scores);
  const weights = exp(sub(scores, reshape(lse, [...lse.shape, 1])));
  return [asBefore(matmul(weights, byHead(v, sizes)), q), permute(reshape(lse, [b, h, t]), [0, 2, 1])];
}

/** Weights, and the gradient in the scores: both [b·kv, group·t, s]. */
function weightsAndPull(
  [q, k, v, g, rows, seen]: readonly Tensor[],
  attrs: AttentionAttrs,
): [weights: Tensor, pull: Tensor] {
  const sizes = sizesOf([q, k]);
  const { b, t, h } = sizes;
  const [lse, delta] = [0, 1].map((plane) => reshape(slice(rows, [plane, 0, 0, 0], [1, b, t, h]), [b, t, h]));
  const weights = exp(sub(scoresOf([q, k], seen, attrs), byRow(lse, sizes)));
  const pull = matmul(byHead(g, sizes), byHead(v, sizes), { transposeB: true });
  return [weights, mul(mul(weights, sub(pull, byRow(delta, sizes))), attrs.scale)];
}

export function composedQueryGradient(inputs: readonly Tensor[], attrs: AttentionAttrs): Tensor {
  const [q, k] = inputs;
  const [, pull] = weightsAndPull(inputs, attrs);
  return asBefore(matmul(pull, byHead(k, sizesOf(inputs))), q);
}

export function composedKeyValueGradients(inputs: readonly Tensor[], attrs: AttentionAttrs): Tensor[] {
  const [q, k, v, g] = inputs;
  const sizes = sizesOf(inputs);
  const [weights, pull] = weightsAndPull(inputs, attrs);
  return [
    asBefore(matmul(pull, byHead(q, sizes), { transposeA: true }), k),
    asBefore(matmul(weights, byHead(g, sizes), { transposeA: true }), v),
  ];
}
