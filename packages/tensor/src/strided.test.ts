import { describe, expect, test } from 'vitest';
import { type Shape, tensor } from './index.ts';
import { apply, type Op } from './kernel.ts';
import { type StridedView, stridedHost, stridedWgsl } from './strided.ts';
import { describeEachBackend } from './testing/index.ts';

const viewOp: Op<{ shape: Shape; view: StridedView }> = {
  kind: 'kernel',
  name: 'strided',
  infer: ([x], { shape }) => ({ shape, dtype: x.dtype }),
  wgsl: ([x], [output], { view }) => stridedWgsl('strided', x, output, view),
  host: (_inputs, [output], { view }) => stridedHost(output, view),
  vjp: null,
  samples: [],
};

describe('strided views', () => {
  describeEachBackend((backend) => {
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
