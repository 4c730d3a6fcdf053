import { describe, expect, test } from 'vitest';
import {
  add,
  argmax,
  checked,
  clamp,
  crossEntropy,
  div,
  exp,
  greater,
  log,
  mul,
  rowMax,
  rowMean,
  rowSum,
  rsqrt,
  square,
  sub,
  tensor,
  where,
} from './index.ts';
import {
  type AnyOp,
  apply,
  type CompositeOp,
  elementwise,
  elementwiseAll,
  kernel,
  opTable,
  rowwise,
  rowwiseAll,
} from './kernel.ts';
import { checkForward, describeEachBackend, expectClose } from './testing/index.ts';

// Two reductions that wait for each other, and what both walks need of the row.
const layerNorm = rowwise(
  'test layerNorm',
  ['row', 'number'],
  (x, eps) => {
    const centred = sub(x, rowMean(x));
    return mul(centred, rsqrt(add(rowMean(square(centred)), eps)));
  },
  { numbers: [1e-2] },
);
// The exponentials wait in the memory of the first result, which is written before the second is.
const bothSoftmaxes = rowwiseAll('test softmaxes', ['row'], (x) => {
  const z = sub(x, rowMax(x));
  const e = exp(z);
  const total = rowSum(e);
  return [sub(z, log(total)), div(e, total)];
});
const prefixSums = rowwiseAll('test prefixes', ['row'], (x) => [mul(x, 0.5), sub(x, rowMean(x))], {
  prefix: true,
  vjp: null,
});
// What is an element's without being the row's.
rowwise('test ofColumns', ['row', 'column'], (x, w) => add(square(w), mul(0, rowSum(x))));

for (const name of ['test layerNorm', 'test softmaxes', 'test prefixes', 'test ofColumns']) {
  checkForward(opTable.get(name)!);
}

describe('row programs', () => {
  describeEachBackend((backend) => {
    const matrix = (rows: readonly (readonly number[])[]) =>
      tensor(backend(), rows.flat(), [rows.length, rows[0].length]);

    test('layer normalisation is that of its definition', async () => {
      const row = [1, 2, 4, 9];
      const mean = 4;
      const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 4;
      const want = row.map((x) => (x - mean) / Math.sqrt(variance + 1e-2));
      expectClose(await layerNorm(matrix([row]), 1e-2).data(), want, 1e-6);
    });

    test('a result that others are computed from is not read after it was written', async () => {
      const [logs, shares] = bothSoftmaxes(matrix([[1, 2, 3]]));
      const e = [1, 2, 3].map((x) => Math.exp(x - 3));
      const total = e.reduce((a, b) => a + b);
      expectClose(
        await shares.data(),
        e.map((x) => x / total),
        1e-6,
      );
      expectClose(
        await logs.data(),
        e.map((x) => Math.log(x / total)),
        1e-6,
      );
    });

    test('what a prefix does not see is 0 in every result, and a mean is of what it sees', async () => {
      const [halves, centred] = prefixSums(
        matrix([
          [2, 4, 6],
          [2, 4, 6],
          [2, 4, 6],
        ]),
        { period: 3, offset: 0 },
      );
      expect(Array.from(await halves.data())).toEqual([1, 0, 0, 1, 2, 0, 1, 2, 3]);
      expect(Array.from(await centred.data())).toEqual([0, 0, 0, -1, 1, 0, -2, 0, 2]);
    });

    test('argmax names a place of the row, whatever is in it', async () => {
      const nan = Number.NaN;
      const places = Array.from(
        await argmax(
          matrix([
            [1, nan, 3],
            [nan, nan, nan],
            [-1, -2, -3],
          ]),
        ).data(),
      );
      expect(places.every((place) => place >= 0 && place < 3)).toBe(true);
      expect(places[2]).toBe(0);
    });

    test('a label that is no class is an error on a checked backend, a negative one is not', async () => {
      const looking = checked(backend());
      const logits = tensor(looking, [1, 2, 3, 4, 5, 6], [2, 3]);
      const labels = (...data: number[]) => tensor(looking, data, [2], 'i32');
      await crossEntropy(logits, labels(2, -100)).data();
      const wrong = crossEntropy(logits, labels(1, 3));
      await expect(wrong.data()).rejects.toThrow('crossEntropy: index 3 is not in [0, 3)');
    });
  });
});

describe('texts', () => {
  const x = { shape: [2, 8], dtype: 'f32' } as const;
  const exponentials = (op: AnyOp, attrs: object): number => {
    if (op.kind !== 'kernel') throw new Error(`${op.name} has no kernel`);
    const text = op.wgsl([x], [x], attrs, { subgroupSize: 8, software: true }, [-1]).text();
    return text.split('exp(').length - 1;
  };

  test('softmax computes each exponential once', () => {
    expect(exponentials(opTable.get('softmax')!, { numbers: [1], period: 0, offset: 0 })).toBe(1);
  });

  test('what a condition compares is computed once, however often it is asked', () => {
    elementwise('test staircase', (start) => {
      let y = start;
      for (let i = 0; i < 12; i++) {
        const isAbove = greater(exp(y), 1);
        y = add(where(isAbove, y, 0), where(isAbove, 0, 1));
      }
      return y;
    });
    expect(exponentials(opTable.get('test staircase')!, { numbers: [null] })).toBe(12);
  });
});

describe('ops of strangers', () => {
  describeEachBackend((backend) => {
    test('two ops with kernels of one name keep to their own', async () => {
      const scale = (name: string, factor: number) =>
        ({
          kind: 'kernel',
          name,
          infer: ([x]) => x,
          wgsl: ([x], [out]) =>
            kernel({
              name: 'scale',
              in: { x },
              out: { out },
              grid: { cells: x.shape[0] },
              body: () => `  out[flat] = ${factor}.0 * x[flat];`,
            }),
          host:
            () =>
            ([x], [out]) => {
              for (let i = 0; i < out.length; i++) out[i] = factor * x[i];
            },
          vjp: null,
          samples: [],
        }) as const satisfies Parameters<typeof apply>[0];
      const x = tensor(backend(), [1, 2], [2]);
      expect(Array.from(await apply(scale('alice.double', 2), [x], {}).data())).toEqual([2, 4]);
      expect(Array.from(await apply(scale('bob.triple', 3), [x], {}).data())).toEqual([3, 6]);
    });

    test('outputs of a composite are tensors of their own', () => {
      const twice: CompositeOp<object> = {
        kind: 'composite',
        name: 'twice',
        infer: ([x]) => [x, x],
        composed: ([x]) => [x, x],
        vjp: 'composed',
        samples: [],
      };
      const x = tensor(backend(), [1, 2], [2]);
      const y = apply({ ...twice, composed: ([only]) => only, infer: ([only]) => only }, [x], {});
      y.dispose();
      expect(x.disposed).toBe(false);
    });

    test('clamp is min(max(x, lo), hi), also where the bounds cross', async () => {
      const x = tensor(backend(), [-5, 0, 5], [3]);
      expect(Array.from(await clamp(x, 2, 1).data())).toEqual([1, 1, 1]);
    });
  });

  test('an expression refuses numbers that no text can say', () => {
    const infinite = () => elementwise('test infinite', (x) => add(x, Number.POSITIVE_INFINITY));
    expect(infinite).toThrow('an expression holds finite f32 numbers, got Infinity');
  });

  test('too few operands are refused by name', () => {
    const pair = elementwiseAll('test pair', 2, (x, y) => [add(x, y)]);
    expect(() => pair(1)).toThrow('test pair: needs 2 operands, got 1');
  });
});
