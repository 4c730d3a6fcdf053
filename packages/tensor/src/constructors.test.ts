import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { arange, full, keep, mul, ones, openReference, sub, tensor, zeros } from './index.ts';
import { describeEachBackend } from './testing/index.ts';

describe('constructors', () => {
  describeEachBackend((backend) => {
    const numbers = async (t: { data(): Promise<ArrayLike<number>> }) => Array.from(await t.data());

    test('zeros, ones, full and arange hold what they say, in every type', async () => {
      for (const dtype of ['f32', 'f16', 'i32', 'u32'] as const) {
        expect(await numbers(zeros(backend(), [2, 2], dtype))).toEqual([0, 0, 0, 0]);
        expect(await numbers(ones(backend(), [3], dtype))).toEqual([1, 1, 1]);
        expect(await numbers(full(backend(), [], 7, dtype))).toEqual([7]);
        expect(await numbers(arange(backend(), 5, dtype))).toEqual([0, 1, 2, 3, 4]);
      }
      expect(await numbers(zeros(backend(), [0, 3]))).toEqual([]);
    });

    test('a number stands for a tensor on either side', async () => {
      const x = tensor(backend(), [1, 2, 4], [3]);
      expect(await numbers(mul(x, 2))).toEqual([2, 4, 8]);
      expect(await numbers(sub(1, x))).toEqual([0, -1, -3]);
    });
  });

  test('numbers alone are refused by name', () => {
    expect(() => mul(2, 3) as unknown).toThrow('mul: needs a tensor among its operands');
  });
});

test('an inspected tensor shows its type, shape, backend and, once read, its first values', async () => {
  const t = tensor(openReference(), [0.5, -1, 2, 3, 4, 5, 6, 7], [2, 4]);
  expect(inspect(t)).toBe('Tensor f32[2, 4] on reference');
  await t.data();
  expect(inspect(t)).toBe('Tensor f32[2, 4] on reference [0.5, -1, 2, 3, 4, 5, …]');
  t.dispose();
  expect(inspect(t)).toBe('Tensor f32[2, 4] on reference, freed [0.5, -1, 2, 3, 4, 5, …]');
});

test('ten thousand tensors alive at once are warned of, one time', async () => {
  const warnings: string[] = [];
  const listen = (warning: Error) => warnings.push(warning.message);
  process.on('warning', listen);
  const backend = openReference();
  const made = Array.from({ length: 10_050 }, () => keep(zeros(backend, [])));
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listen);
  for (const t of made) t.dispose();
  expect(warnings).toEqual([
    expect.stringContaining('10000 tensors are alive at once; put the work of a loop into scope'),
  ]);
});
