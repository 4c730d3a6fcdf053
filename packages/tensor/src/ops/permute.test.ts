import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { permute, ShapeError, size, tensor, transpose } from '../index.ts';
import { strides } from '../kernel.ts';
import { describeEachBackend } from '../testing/index.ts';

/** A shape of up to six axes and an order of them; many fours and eights, which take another path. */
const cases = fc
  .array(fc.constantFrom(1, 2, 3, 4, 8), { minLength: 1, maxLength: 6 })
  .filter((shape) => size(shape) <= 4096)
  .chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      fc.shuffledSubarray(
        shape.map((_, i) => i),
        { minLength: shape.length },
      ),
    ),
  );

describe('permute', () => {
  describeEachBackend((backend) => {
    test.each(['f32', 'i32'] as const)('puts axis axes[i] at i, for up to six axes of %s', async (dtype) => {
      await fc.assert(
        fc.asyncProperty(cases, async ([shape, axes]) => {
          const x = tensor(
            backend(),
            Float32Array.from({ length: size(shape) }, (_, i) => i),
            shape,
            dtype,
          );
          const turned = permute(x, axes);
          expect(turned.shape).toEqual(axes.map((axis) => shape[axis]));
          const [from, to] = [strides(shape), strides(turned.shape)];
          const want = Array.from({ length: size(shape) }, (_, cell) =>
            axes.reduce((at, axis, i) => at + (Math.floor(cell / to[i]) % turned.shape[i]) * from[axis], 0),
          );
          expect(Array.from(await turned.data())).toEqual(want);
        }),
        { numRuns: 25 },
      );
    });

    test('transpose exchanges the last two axes and leaves the others', async () => {
      const turned = transpose(tensor(backend(), [1, 2, 3, 4, 5, 6, 7, 8], [2, 1, 2, 2]));
      expect(Array.from(await turned.data())).toEqual([1, 3, 2, 4, 5, 7, 6, 8]);
    });

    test('what is no permutation is refused by name', () => {
      const x = tensor(backend(), [1, 2, 3, 4], [2, 2]);
      expect(() => permute(x, [0, 0])).toThrow('permute: needs each axis of f32[2, 2] once, got [0, 0]');
      expect(() => permute(x, [1, 0, 1])).toThrow(ShapeError);
      expect(() => transpose(tensor(backend(), [1], [1]))).toThrow(
        'transpose: needs two axes or more, got f32[1]',
      );
    });
  });
});
