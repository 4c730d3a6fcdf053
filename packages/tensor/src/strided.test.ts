import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Shape, size, tensor } from './index.ts';
import { apply, type Op } from './kernel.ts';
import { type StridedView, stridedHost, stridedWasm, stridedWgsl } from './strided.ts';
import { describeEachBackend } from './testing/index.ts';

const viewOp: Op<{ shape: Shape; view: StridedView }> = {
  kind: 'kernel',
  name: 'strided',
  infer: ([x], { shape }) => ({ shape, dtype: x.dtype }),
  wgsl: ([x], [output], { view }) => stridedWgsl('strided', x, output, view),
  host: (_inputs, [output], { view }) => stridedHost(output, view),
  wasm: ([x], [output], { view }) => stridedWasm('strided', x, output, view),
  vjp: null,
  samples: [],
};

interface View {
  readonly shape: Shape;
  readonly view: StridedView;
  /** Elements of the memory that it is a view of. */
  readonly length: number;
}

/**
 * Axes in any order of their strides, with gaps between their elements or without, or stretched; of sizes
 * around those of vectors and cache lines.
 */
const views: fc.Arbitrary<View> = fc
  .array(
    fc.record({
      size: fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 20, 35),
      gap: fc.constantFrom(0, 1, 1, 1, 1, 2, 3),
      order: fc.nat(),
    }),
    { maxLength: 6 },
  )
  .filter((axes) => axes.reduce((n, { size, gap }) => n * Math.max(1, size) * Math.max(1, gap), 1) <= 20_000)
  .chain((axes) => {
    const strides = axes.map(() => 0);
    let length = 1;
    for (const i of axes.map((_, i) => i).sort((i, j) => axes[i].order - axes[j].order)) {
      const { size, gap } = axes[i];
      strides[i] = length * gap;
      length *= Math.max(1, size * gap);
    }
    return fc.nat(5).map((offset) => {
      return { shape: axes.map(({ size }) => size), view: { offset, strides }, length: offset + length };
    });
  });

describe('strided views', () => {
  describeEachBackend((backend) => {
    test.each(['f32', 'i32', 'u32'] as const)('any view of up to six axes is copied: %s', async (dtype) => {
      await fc.assert(
        fc.asyncProperty(views, async ({ shape, view, length }) => {
          const places = Array.from({ length: size(shape) }, (_, cell) => {
            let [rest, at] = [cell, view.offset];
            for (let axis = shape.length - 1; axis >= 0; axis--) {
              at += (rest % shape[axis]) * view.strides[axis];
              rest = Math.floor(rest / shape[axis]);
            }
            return at;
          });
          const x = tensor(
            backend(),
            Array.from({ length }, (_, i) => i),
            [length],
            dtype,
          );
          expect(Array.from(await apply(viewOp, [x], { shape, view }).data())).toEqual(places);
        }),
        { numRuns: 40 },
      );
    });

    test.each([
      ['all in aligned fours', 4, 8],
      ['a step that is no multiple of four', 4, 6],
      ['an offset that is no multiple of four', 2, 8],
    ])('rows of four neighbours are read where they lie: %s', async (_, offset, step) => {
      const x = tensor(
        backend(),
        Array.from({ length: 40 }, (_x, i) => i),
        [40],
      );
      const rows = apply(viewOp, [x], { shape: [3, 4], view: { offset, strides: [step, 1] } });
      const want = [0, 1, 2].flatMap((row) => [0, 1, 2, 3].map((i) => offset + row * step + i));
      expect(Array.from(await rows.data())).toEqual(want);
    });
  });
});
