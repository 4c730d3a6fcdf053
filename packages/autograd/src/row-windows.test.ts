import {
  add,
  type Backend,
  crossEntropy,
  gather,
  matmul,
  openWasm,
  sum,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { expectClose } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { hvp } from './hvp.ts';
import { numbers, waves } from './testing/functions.ts';
import { valueAndGrad } from './value-and-grad.ts';

/** The CPU engine, of which no kernel reads or writes more than so many bytes of a tensor. */
function openNarrow(maxBindingBytes: number): Backend {
  const backend = openWasm();
  return {
    ...backend,
    maxBindingBytes,
    viewAlignment: 256,
    run(op, inputs, outputs, attrs, taken) {
      for (const { shape, dtype } of [...inputs, ...outputs]) {
        const bytes = shape.reduce((n, axis) => n * axis, dtype === 'f16' ? 2 : 4);
        if (bytes > maxBindingBytes) throw new Error(`${op.name} binds ${bytes} bytes`);
      }
      return backend.run(op, inputs, outputs, attrs, taken);
    },
  };
}

test('a loss through tables beyond the binding has the gradient and the curvature that it has within', async () => {
  const [v, e, n] = [210, 24, 5];
  const results = [Number.POSITIVE_INFINITY, 2 ** 13].map((maxBindingBytes) => {
    const backend = openNarrow(maxBindingBytes);
    const table = tensor(
      backend,
      Float32Array.from({ length: v * e }, (_, i) => Math.sin(i)),
      [v, e],
      'f16',
    );
    const ids = tensor(backend, [0, 209, 170, 171, 209], [n], 'i32');
    const loss = (x: Tensor) =>
      sum(crossEntropy(matmul(add(gather(table, ids), x), table, { transposeB: true }), ids));
    const [x, direction] = [waves(backend, [n, e], 1), waves(backend, [n, e], 2)];
    const { value, grads } = valueAndGrad(loss, x);
    return [value, grads, hvp(loss, x, direction)];
  });
  for (const [i, want] of results[0].entries()) {
    expectClose(await numbers(results[1][i]), await numbers(want), 1e-5);
  }
  expect(results[1][1].shape).toEqual([n, e]);
});
