import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  concat,
  DTypeError,
  mul,
  pad,
  type Shape,
  ShapeError,
  size,
  slice,
  split,
  tensor,
} from '../index.ts';
import { strides } from '../kernel.ts';
import { describeEachBackend } from '../testing/index.ts';

const counting = (shape: Shape) => Float32Array.from({ length: size(shape) }, (_, i) => i + 1);

/** A shape of up to six axes, and a box inside it. */
const boxes = fc
  .array(fc.record({ before: fc.nat(3), count: fc.nat(5), after: fc.nat(3) }), { maxLength: 6 })
  .filter((axes) => axes.reduce((n, { before, count, after }) => n * (before + count + after), 1) <= 4096);

/** The elements of the box, one index after the other. */
function boxOf(data: Float32Array, shape: Shape, starts: readonly number[], sizes: Shape): number[] {
  const [steps, boxSteps] = [strides(shape), strides(sizes)];
  return Array.from({ length: size(sizes) }, (_, cell) => {
    const at = sizes.map((n, axis) => starts[axis] + (Math.floor(cell / boxSteps[axis]) % n));
    return data[at.reduce((sum, i, axis) => sum + i * steps[axis], 0)];
  });
}

describe('slice, pad and concat', () => {
  describeEachBackend((backend) => {
    test('slice takes the elements of a box and pad puts zeros around it, for up to six axes', async () => {
      await fc.assert(
        fc.asyncProperty(boxes, async (axes) => {
          const shape = axes.map(({ before, count, after }) => before + count + after);
          const [before, sizes, after] = (['before', 'count', 'after'] as const).map((key) =>
            axes.map((a) => a[key]),
          );
          const data = counting(shape);
          const cut = slice(tensor(backend(), data, shape), before, sizes);
          const want = boxOf(data, shape, before, sizes);
          expect(cut.shape).toEqual(sizes);
          expect(Array.from(await cut.data())).toEqual(want);
          const padded = pad(cut, before, after);
          expect(padded.shape).toEqual(shape);
          const kept = new Set(want);
          expect(Array.from(await padded.data())).toEqual(Array.from(data, (x) => (kept.has(x) ? x : 0)));
        }),
        { numRuns: 30 },
      );
    });

    test('concat joins any number of tensors, and split takes them apart', async () => {
      const sizes = [3, 1, 4, 0, 2];
      const parts = sizes.map((n, i) => counting([2, n, 2]).map((x) => x + 100 * i));
      const tensors = parts.map((data, i) => tensor(backend(), data, [2, sizes[i], 2]));
      const whole = concat(tensors, -2);
      expect(whole.shape).toEqual([2, 10, 2]);
      const half = (side: number) =>
        parts.flatMap((p) => [...p.slice((side * p.length) / 2, ((side + 1) * p.length) / 2)]);
      expect(Array.from(await whole.data())).toEqual([...half(0), ...half(1)]);
      const pieces = split(whole, sizes, 1);
      for (const [i, piece] of pieces.entries())
        expect(Array.from(await piece.data())).toEqual([...parts[i]]);
    });

    test('i32 stays i32', async () => {
      const ids = tensor(backend(), [1, -2, 3, 2 ** 31 - 1], [2, 2], 'i32');
      const joined = concat([ids, pad(slice(ids, [0, 1], [2, 1]), [0, 1], [0, 0])], 1);
      expect(joined.dtype).toBe('i32');
      expect(Array.from(await joined.data())).toEqual([1, -2, 0, -2, 3, 2 ** 31 - 1, 0, 2 ** 31 - 1]);
    });

    test('what does not fit is refused by name', () => {
      const [x, wide] = [
        tensor(backend(), counting([2, 3]), [2, 3]),
        tensor(backend(), counting([3, 3]), [3, 3]),
      ];
      const half = tensor(backend(), [1, 2], [2], 'f16');
      expect(() => slice(x, [0, 2], [2, 2])).toThrow('slice: [2, 2] from [0, 2] is not inside f32[2, 3]');
      expect(() => slice(x, [-1, 0], [1, 1])).toThrow(ShapeError);
      expect(() => slice(half, [0], [2])).toThrow('slice: needs f32, i32 or u32, got f16[2]');
      expect(() => pad(x, [0], [0])).toThrow('pad: needs a count ≥ 0 an axis of f32[2, 3], got [0]');
      expect(() => concat([x, wide], 1)).toThrow(
        'concat: axes but 1 must be equal, got f32[2, 3] and f32[3, 3]',
      );
      expect(() => concat([half, tensor(backend(), [1, 2], [2])], 0)).toThrow(DTypeError);
      expect(() => concat([], 0)).toThrow(ShapeError);
      expect(() => split(x, [1, 1], 1)).toThrow('split: pieces [1, 1] do not add up to axis 1 of f32[2, 3]');
    });
  });
});

describe('views', () => {
  describeEachBackend((backend) => {
    test('a slice of the outermost axis shares the memory where the device can bind it, else it is a copy', async () => {
      const aligned = Math.max(1, backend().viewAlignment / 4);
      const x = tensor(
        backend(),
        Float32Array.from({ length: 4 * aligned }, (_, i) => i),
        [4, aligned],
      );
      const live = backend().stats.liveBytes;
      const view = slice(x, [1, 0], [2, aligned]);
      expect(view.buffer).toBe(x.buffer);
      expect(backend().stats.liveBytes).toBe(live);
      x.dispose();
      expect(Array.from(await view.data())).toEqual(
        Array.from({ length: 2 * aligned }, (_, i) => aligned + i),
      );
      const inner = slice(view, [1, 0], [1, aligned]);
      expect((await mul(inner, 2).data())[0]).toBe(4 * aligned);
      if (backend().viewAlignment > 4) {
        const off = slice(view, [0, 1], [1, 3]);
        expect(off.buffer).not.toBe(view.buffer);
        expect(Array.from(await off.data())).toEqual([aligned + 1, aligned + 2, aligned + 3]);
      }
      view.dispose();
      inner.dispose();
    });
  });
});
