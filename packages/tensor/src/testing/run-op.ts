import type { Backend } from '../backend.ts';
import type { HostArray, Op } from '../op.ts';
import { type Shape, type Spec, size } from '../shape.ts';
import { apply, scope, type Tensor, tensor } from '../tensor.ts';
import type { DrawnInput } from './arbitrary.ts';

/** The numbers an op gave, and the shape and type it promised. */
export interface OpResult extends Spec {
  readonly data: HostArray;
}

/** The input on a backend. Its buffer's padding holds NaN, so that reading beyond the end shows. */
export function upload(backend: Backend, { shape, dtype, data }: DrawnInput): Tensor {
  poison(backend, shape);
  return tensor(backend, data, shape, dtype);
}

/** Runs an op on a backend and reads the result; everything else is freed. */
export async function runOp(
  backend: Backend,
  op: Op<object>,
  inputs: readonly DrawnInput[],
  attrs: object,
): Promise<OpResult> {
  return readOnce(() => {
    const tensors = inputs.map((input) => upload(backend, input));
    poison(backend, op.infer(tensors, attrs).shape);
    return apply(op, tensors, attrs);
  });
}

/** Reads what f makes, and frees it and all that was made on the way. */
export async function readOnce(f: () => Tensor): Promise<OpResult> {
  const result = scope(f);
  const { shape, dtype } = result;
  const data = await result.data();
  result.dispose();
  return { shape, dtype, data };
}

/**
 * Leaves NaN in the memory that a pool hands to the next tensor of this size, so that gaps in a result show.
 */
function poison(backend: Backend, shape: Shape): void {
  const wordsOfSmallestBuffer = 64;
  const n = Math.ceil(Math.max(1, size(shape)) / wordsOfSmallestBuffer) * wordsOfSmallestBuffer;
  scope(() => void tensor(backend, new Float32Array(n).fill(Number.NaN), [n]));
}
