import { expect, test } from 'vitest';
import { gather, matmul, mul, openGpuJs, reshape, scope, slice, tensor } from '../index.ts';

test('tensors of more elements than gpu.js counts exactly are plain JavaScript, and right to the last', async () => {
  const backend = openGpuJs();
  const [v, e] = [131_073, 129]; // 16,908,417 elements, above 2²⁴
  const table = tensor(
    backend,
    Float32Array.from({ length: v * e }, (_, i) => i % 1021),
    [v, e],
  );
  const last = gather(table, tensor(backend, [v - 1], [1], 'i32'));
  const at = (i: number) => i % 1021;
  expect((await last.data())[e - 1]).toBe(at(v * e - 1));
  const doubled = scope(() => slice(reshape(mul(table, 2), [v * e]), [v * e - 2], [2]));
  expect(Array.from(await doubled.data())).toEqual([2 * at(v * e - 2), 2 * at(v * e - 1)]);
  const x = tensor(backend, new Float32Array(e).fill(1), [1, e]);
  const logits = await matmul(x, table, { transposeB: true }).data();
  let sum = 0;
  for (let j = 0; j < e; j++) sum += at((v - 1) * e + j);
  expect(logits).toHaveLength(v);
  expect(logits[v - 1]).toBe(sum);
  await backend.close();
});
