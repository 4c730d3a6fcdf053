import type { Backend } from '../backend.ts';
import { type AnyOp, type HostArray, outputsOf } from '../op.ts';
import { type Shape, type Spec, size } from '../shape.ts';
import { applyAll, empty, scope, type Tensor, tensor } from '../tensor.ts';
import type { DrawnInput } from './arbitrary.ts';

/** The numbers an op gave, and the shape and type it promised. */
export interface OpResult extends Spec {
  readonly data: HostArray;
}

/** The input on a backend. Its buffer's padding holds NaN, so that reading beyond the end shows. */
export function upload(backend: Backend, { shape, dtype, data, bytes }: DrawnInput): Tensor {
  poison(backend, shape);
  if (bytes) {
    const made = empty(backend, { shape, dtype });
    backend.write(made.buffer, made, bytes, 0);
    return made;
  }
  return tensor(backend, data, shape, dtype);
}

/** Runs an op on a backend and reads its results; everything is freed. */
export async function runOpAll(
  backend: Backend,
  op: AnyOp,
  inputs: readonly DrawnInput[],
  attrs: object,
): Promise<OpResult[]> {
  return readAll(() => {
    const tensors = inputs.map((input) => upload(backend, input));
    for (const { shape } of outputsOf(op, tensors, attrs)) poison(backend, shape);
    return applyAll(op, tensors, attrs);
  });
}

/** The same of an op with one output. */
export async function runOp(
  backend: Backend,
  op: AnyOp,
  inputs: readonly DrawnInput[],
  attrs: object,
): Promise<OpResult> {
  return (await runOpAll(backend, op, inputs, attrs))[0];
}

/** Reads the tensor that f makes, and frees it and all that was made on the way. */
export async function readOnce(f: () => Tensor): Promise<OpResult> {
  return (await readAll(() => [f()]))[0];
}

/** The same of several tensors. */
export async function readAll(f: () => readonly Tensor[]): Promise<OpResult[]> {
  const results = scope(f);
  const data = await Promise.all(results.map((t) => t.data()));
  for (const t of results) t.dispose();
  return results.map(({ shape, dtype }, k) => ({ shape, dtype, data: data[k] }));
}

/**
 * Leaves NaN in the memory that a pool hands to the next tensor of this size, so that gaps in a result show.
 */
function poison(backend: Backend, shape: Shape): void {
  const wordsOfSmallestBuffer = 64;
  const n = Math.ceil(Math.max(1, size(shape)) / wordsOfSmallestBuffer) * wordsOfSmallestBuffer;
  scope(() => void tensor(backend, new Float32Array(n).fill(Number.NaN), [n]));
}
