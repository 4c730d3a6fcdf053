import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { openWasm } from '../../../backends/wasm/wasm.ts';
import type { DType, Shape, Spec } from '../../../index.ts';
import { type KernelOp, opTable } from '../../../kernel.ts';
import { arbitraryRandom, asType, type DrawnInput, drawUniform, runOp } from '../../../testing/index.ts';
import type { WasmKernel } from '../../../wasm/index.ts';
import '../../matmul.ts';
import { type MatmulAttrs, type Problem, problemOf } from '../problem.ts';
import { productKernels } from './choose.ts';
import { dotsKernel } from './dots.ts';
import { inPlaceKernel } from './in-place.ts';
import { panelsKernel } from './panels.ts';

type Make = (p: Problem, inputs: readonly Spec[], output: Spec) => WasmKernel | readonly WasmKernel[];

const matmulOp = opTable.get('matmul') as KernelOp<object>;
const made = (make: Make): KernelOp<object> => ({
  ...matmulOp,
  wasm: (inputs, [output], attrs) => make(problemOf(inputs, output, attrs as MatmulAttrs), inputs, output),
});
const backends = [1, 2, 3].map((threads) => openWasm({ threads }));
afterAll(() => Promise.all(backends.map((backend) => backend.close())));

interface Case extends MatmulAttrs {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Matrices of a and of b; 0 for a matrix without a batch axis. */
  readonly matrices: readonly [number, number];
  readonly types: readonly [DType, DType];
  /** Whether a third input is added. */
  readonly plus: boolean;
}

// Both sides of vectors, tiles, packed groups, and of the blocks of rows, columns and steps.
const type = fc.constantFrom<DType>('f32', 'f16');
const arbitraryCase = (rows: readonly number[]): fc.Arbitrary<Case> =>
  fc.record({
    m: fc.constantFrom(...rows),
    n: fc.constantFrom(1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 67, 129, 260),
    k: fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 8, 31, 64, 255, 256, 257, 515),
    matrices: fc.constantFrom<Case['matrices']>([0, 0], [0, 0], [3, 3], [0, 3], [3, 0]),
    types: fc.tuple(type, type),
    plus: fc.boolean(),
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
  });

function draw(
  { m, n, k, matrices, types, plus, transposeA, transposeB }: Case,
  random: () => number,
): DrawnInput[] {
  const shapes: Shape[] = [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n]];
  const inputs = shapes.map((shape, i) =>
    asType(drawUniform(matrices[i] > 0 ? [matrices[i], ...shape] : shape, random), types[i]),
  );
  const batch = matrices.filter((count) => count > 0).slice(0, 1);
  return plus ? [...inputs, drawUniform([...batch, m, n], random)] : inputs;
}

/**
 * Fails unless each element is the sum of its products to the bound of k roundings of products and of sums,
 * in any order, and is NaN or infinite where the sum is.
 */
function expectProduct(got: ArrayLike<number>, [a, b, plus]: readonly DrawnInput[], c: Case): void {
  const { m, n, k, matrices } = c;
  expect(got.length).toBe(Math.max(1, ...matrices) * m * n);
  for (let cell = 0; cell < got.length; cell++) {
    const [matrix, i, j] = [Math.floor(cell / (m * n)), Math.floor(cell / n) % m, cell % n];
    const [startA, startB] = [matrices[0] > 0 ? matrix * m * k : 0, matrices[1] > 0 ? matrix * k * n : 0];
    let sum = plus ? plus.data[cell] : 0;
    let bound = Math.abs(sum);
    for (let q = 0; q < k; q++) {
      const x = a.data[startA + (c.transposeA ? q * m + i : i * k + q)];
      const y = b.data[startB + (c.transposeB ? j * k + q : q * n + j)];
      sum += x * y;
      bound += Math.abs(x * y);
    }
    const close = Number.isFinite(sum) ? Math.abs(got[cell] - sum) <= (k + 1) * 2 ** -24 * bound : false;
    if (!close && !Object.is(got[cell], sum)) {
      throw new Error(
        `[${matrix}, ${i}, ${j}]: got ${got[cell]}, want ${sum} ± ${(k + 1) * 2 ** -24 * bound}`,
      );
    }
  }
}

const any = [1, 2, 3, 4, 5, 8, 9, 16, 67, 131, 260];
const kernels: [string, Make, readonly number[], (c: Case) => boolean][] = [
  ['panels', panelsKernel, any, () => true],
  [
    'in place',
    inPlaceKernel,
    [1, 2, 3, 4, 5, 8],
    ({ n, transposeB, types }) => n > 1 && !transposeB && types.every((type) => type === 'f32'),
  ],
  ['dots', dotsKernel, [1, 2], ({ m, transposeA, transposeB }) => transposeB && (m === 1 || !transposeA)],
  ['the one that is chosen', productKernels, any, () => true],
];

describe.each(kernels)('%s', (_, make, rows, takes) => {
  const cases = arbitraryCase(rows).filter(takes);

  test('computes every product to the last bits that f32 has', () =>
    fc.assert(
      fc.asyncProperty(cases, arbitraryRandom, async (c, random) => {
        const inputs = draw(c, random);
        expectProduct((await runOp(backends[0], made(make), inputs, c)).data, inputs, c);
      }),
      { numRuns: 60 },
    ));

  test('keeps NaN and infinities to their rows and columns', () =>
    fc.assert(
      fc.asyncProperty(
        cases.filter(({ k }) => k > 0),
        arbitraryRandom,
        fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
        async (c, random, special) => {
          const inputs = draw(c, random);
          for (const { data } of inputs) data[Math.floor(random() * data.length)] = special;
          expectProduct((await runOp(backends[0], made(make), inputs, c)).data, inputs, c);
        },
      ),
      { numRuns: 30 },
    ));
});

test.each<[Shape, Shape, DType, boolean, boolean]>([
  [[300, 600], [200, 600], 'f16', false, true],
  [[300, 600], [600, 200], 'f32', false, false],
  [[600, 300], [600, 200], 'f32', true, false],
  [[12, 70, 40], [12, 90, 40], 'f32', false, true],
  [[1, 900], [800, 900], 'f16', false, true],
  [[7, 900], [900, 800], 'f32', false, false],
])('%j · %j (%s, transposed: %j, %j) has the same bits on one, two and three threads', async (...c) => {
  const [first, second, typeB, transposeA, transposeB] = c;
  let state = 0;
  const random = () => (state = (state + 0.618) % 1);
  const inputs = [drawUniform(first, random), asType(drawUniform(second, random), typeB)];
  const [one, two, three] = await Promise.all(
    backends.map(async (backend) => {
      const { data } = await runOp(backend, matmulOp, inputs, { transposeA, transposeB });
      return Buffer.from(data.buffer);
    }),
  );
  expect([two, three].map((bytes) => bytes.equals(one))).toEqual([true, true]);
});
