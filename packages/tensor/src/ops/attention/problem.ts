import { DTypeError, ShapeError } from '../../errors.ts';
import { type Spec, sameShape, showAll } from '../../shape.ts';

export interface AttentionAttrs {
  /** Of the products of queries and keys: 1/√d as a rule. */
  readonly scale: number;
  /** Query i sees keys 0 … offset + i, where no tensor says which it sees. */
  readonly offset: number;
}

/** The sizes of an attention. Query head i shares the keys and values of head ⌊i / group⌋. */
export interface AttentionSizes {
  readonly b: number;
  readonly t: number;
  readonly h: number;
  readonly d: number;
  readonly s: number;
  readonly kv: number;
  readonly group: number;
}

export function sizesOf([q, k]: readonly Spec[]): AttentionSizes {
  const [b, t, h, d] = q.shape;
  const [, s, kv] = k.shape;
  return { b, t, h, d, s, kv, group: h / kv };
}

/** Checks q, k, v and what each query sees, in the words of the op of that name. */
export function checkAttention(
  name: string,
  [q, k, v]: readonly Spec[],
  seen: Spec | undefined,
  { offset }: AttentionAttrs,
): void {
  const all = [q, k, v, ...(seen ? [seen] : [])];
  const isReal = q.dtype === 'f32' && [k, v].every(({ dtype }) => dtype === 'f32' || dtype === 'f16');
  if (!isReal || (seen && seen.dtype !== 'i32')) {
    const needs = `q of f32, k and v of f32 or f16${seen ? ', what queries see of i32' : ''}`;
    throw new DTypeError(`${name}: needs ${needs}, got ${showAll(all)}`);
  }
  const [b, t, h, d] = q.shape;
  const [, s, kv] = k.shape;
  const fits =
    q.shape.length === 4 &&
    sameShape(k.shape, [b, s, kv, d]) &&
    sameShape(v.shape, k.shape) &&
    s > 0 &&
    h % kv === 0;
  if (!fits) {
    const needs = 'q [b, t, h, d], k and v [b, s, kv, d], h a multiple of kv';
    throw new ShapeError(`${name}: needs ${needs}, got ${showAll(all)}`);
  }
  if (seen && !sameShape(seen.shape, [b, t, 2]))
    throw new ShapeError(`${name}: what queries see must be [${b}, ${t}, 2], got ${showAll([seen])}`);
  if (!Number.isInteger(offset) || offset < 0)
    throw new ShapeError(`${name}: the offset must be 0 or a whole number above, got ${offset}`);
}

/** Pairs of a query and a key that it sees, over all heads; those of a tensor that says are taken for all. */
export function seenPairs({ b, t, h, s }: AttentionSizes, offset: number, bounded: boolean): number {
  if (bounded) return b * h * t * s;
  // Query i sees min(offset + i + 1, s) keys.
  const growing = Math.min(t, Math.max(0, s - offset));
  return b * h * (growing * offset + (growing * (growing + 1)) / 2 + (t - growing) * s);
}

/** Checks the inputs of a gradient: q, k, v, g, lse and delta in one tensor, and what each query sees. */
export function checkGradientInputs(name: string, inputs: readonly Spec[], attrs: AttentionAttrs): void {
  const [q, k, v, g, rows, seen] = inputs;
  checkAttention(name, [q, k, v], seen, attrs);
  if ([k, v, g, rows].some(({ dtype }) => dtype !== 'f32'))
    throw new DTypeError(`${name}: needs f32, got ${showAll(inputs)}`);
  if (!sameShape(g.shape, q.shape) || !sameShape(rows.shape, [2, ...q.shape.slice(0, 3)])) {
    const needs = `q [b, t, h, d], k, v, a gradient as q, and [2, b, t, h]`;
    throw new ShapeError(`${name}: needs ${needs}, got ${showAll(inputs)}`);
  }
}
