import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  add,
  type DType,
  DTypeError,
  donate,
  matmul,
  mul,
  type Shape,
  ShapeError,
  size,
  sum,
  type Tensor,
  tensor,
  transpose,
  type WebGpuBackend,
} from '../index.ts';
import {
  apply,
  broadcastShapes,
  type KernelOp,
  opTable,
  strides,
  type Vjp,
  type WgslDevice,
} from '../kernel.ts';
import {
  arbitraryRandom,
  asType,
  type DrawnInput,
  describeEachBackend,
  deviceBackends,
  drawUniform,
  expectClose,
  readOnce,
  runOp,
  upload,
} from '../testing/index.ts';
import { type Body, canRun, choose, kernelOf } from './matmul/choose.ts';
import { type MatmulAttrs, type Problem, problemOf } from './matmul/problem.ts';

const matmulOp = opTable.get('matmul') as KernelOp<MatmulAttrs>;
const f32Error = 1e-5;

/** One product: shapes as the op takes them, types, and how its matrices are read. */
interface Case extends MatmulAttrs {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batchA: Shape;
  readonly batchB: Shape;
  readonly typeA: DType;
  readonly typeB: DType;
  /** Whether a third input is added. */
  readonly plus: boolean;
}

// Ones, primes, both sides of the kernels' blocks of 8 and tiles of 16 and 64, and many multiples of 8.
const sizes = fc.constantFrom(1, 2, 3, 4, 7, 8, 9, 16, 17, 24, 33, 40, 64, 67);
const batches = fc.constantFrom<[Shape, Shape]>(
  [[], []],
  [[], []],
  [[3], [3]],
  [
    [2, 2],
    [2, 2],
  ],
  [[], [3]],
  [[3], []],
);

const cases: fc.Arbitrary<Case> = fc
  .record({
    m: sizes,
    n: sizes,
    k: sizes,
    batch: batches,
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
    typeA: fc.constantFrom<DType>('f32', 'f32', 'f32', 'f32', 'f32', 'f16'),
    typeB: fc.constantFrom<DType>('f32', 'f16'),
    end: fc.constantFrom({ plus: false }, { plus: true }, { plus: false, alpha: -0.75 }),
  })
  .map(({ batch: [batchA, batchB], end, ...rest }) => ({ ...rest, ...end, batchA, batchB }));

const shapeA = ({ batchA, m, k, transposeA }: Case): Shape => [...batchA, ...(transposeA ? [k, m] : [m, k])];
const shapeB = ({ batchB, n, k, transposeB }: Case): Shape => [...batchB, ...(transposeB ? [n, k] : [k, n])];

const shapeOf = ({ batchA, batchB, m, n }: Case): Shape => [...(batchA.length > 0 ? batchA : batchB), m, n];

function draw(c: Case, random: () => number): DrawnInput[] {
  const [a, b] = [drawUniform(shapeA(c), random), drawUniform(shapeB(c), random)];
  const plus = c.plus ? [drawUniform(shapeOf(c), random)] : [];
  return [asType(a, c.typeA), asType(b, c.typeB), ...plus];
}

/** The definition, in f64: plus + alpha·Σ over the inner axis, each batch axis stretched as NumPy does. */
function product(
  inputs: readonly DrawnInput[],
  { transposeA, transposeB, alpha = 1 }: MatmulAttrs,
): Float64Array {
  const [a, b, plus] = inputs;
  const [batchA, batchB] = [a, b].map((t) => t.shape.slice(0, -2));
  const batch = broadcastShapes(
    'product',
    [batchA, batchB].map((shape) => ({ shape, dtype: 'f32' })),
  );
  const [m, k] = transposeA ? a.shape.slice(-2).reverse() : a.shape.slice(-2);
  const n = transposeB ? b.shape[b.shape.length - 2] : b.shape[b.shape.length - 1];
  const steps = strides(batch);
  const matrixOf = (own: Shape, index: number) =>
    own.reduce((at, axis, i) => {
      const place = batch.length - own.length + i;
      return at * axis + (axis === 1 ? 0 : Math.floor(index / steps[place]) % batch[place]);
    }, 0);
  const out = plus ? Float64Array.from(plus.data) : new Float64Array(size(batch) * m * n);
  for (let cell = 0; cell < out.length; cell++) {
    const [index, i, j] = [Math.floor(cell / (m * n)), Math.floor(cell / n) % m, cell % n];
    const startA = matrixOf(batchA, index) * m * k;
    const startB = matrixOf(batchB, index) * k * n;
    for (let q = 0; q < k; q++) {
      const x = a.data[startA + (transposeA ? q * m + i : i * k + q)];
      out[cell] += alpha * x * b.data[startB + (transposeB ? j * k + q : q * n + j)];
    }
  }
  return out;
}

/** Checks random products; `run` says how one is computed. */
function checkProducts(
  run: (inputs: readonly DrawnInput[], attrs: MatmulAttrs) => Promise<{ readonly data: ArrayLike<number> }>,
  numRuns: number,
  takes: (c: Case) => boolean = () => true,
): Promise<void> {
  return fc.assert(
    fc.asyncProperty(cases.filter(takes), arbitraryRandom, async (c, random) => {
      const inputs = draw(c, random);
      expectClose((await run(inputs, c)).data, product(inputs, c), f32Error, 'matmul');
    }),
    { numRuns },
  );
}

const number = async (f: () => Tensor) => (await readOnce(() => sum(f()))).data[0];

describe('matmul', () => {
  describeEachBackend((backend) => {
    const tensorOf = (shape: Shape, random: () => number) => upload(backend(), drawUniform(shape, random));

    test('is the sum over the inner axis, for every size, type and way of reading', () =>
      checkProducts((inputs, attrs) => runOp(backend(), matmulOp as KernelOp<object>, inputs, attrs), 20));

    test.each<[Shape, Shape, boolean]>([
      [[2, 3, 4], [5, 4], false],
      [[2, 4, 3], [5, 4], true],
      [[3, 4], [2, 5, 4], false],
      [[2, 1, 3, 4], [5, 5, 4], false],
      [[2, 1, 4, 3], [5, 5, 4], true],
      [[1, 3, 4], [2, 1, 5, 4], false],
      [[2, 1, 1, 2, 4], [2, 3, 1, 3, 4], false],
    ])(
      '%j · %j ᵀ broadcasts the axes before the matrices, transposeA %j',
      async (first, second, transposeA) => {
        const attrs = { transposeA, transposeB: true };
        let state = 0;
        const [a, b] = [first, second].map((shape) =>
          drawUniform(shape, () => (state = (state + 0.618) % 1)),
        );
        const result = await readOnce(() => matmul(upload(backend(), a), upload(backend(), b), attrs));
        const batch = broadcastShapes(
          'test',
          [a, b].map(({ shape }) => ({ shape: shape.slice(0, -2), dtype: 'f32' })),
        );
        expect(result.shape).toEqual([...batch, 3 - Number(first.length === 5), second[second.length - 2]]);
        expectClose(result.data, product([a, b], attrs), f32Error);
      },
    );

    test('is linear in each input', () =>
      fc.assert(
        fc.asyncProperty(sizes, sizes, sizes, arbitraryRandom, async (m, n, k, random) => {
          const [a, c] = [tensorOf([m, k], random), tensorOf([m, k], random)];
          const [b, d] = [tensorOf([k, n], random), tensorOf([k, n], random)];
          const mixed = await matmul(add(a, mul(c, -3)), add(b, mul(d, 2))).data();
          const terms = [matmul(a, b), matmul(a, mul(d, 2)), matmul(mul(c, -3), b)];
          const parts = [...terms, mul(matmul(c, d), -6)].reduce(add);
          expectClose(mixed, await parts.data(), 1e-4);
        }),
        { numRuns: 5 },
      ));

    test('(A·B)ᵀ = Bᵀ·Aᵀ, however the transposes are written', () =>
      fc.assert(
        fc.asyncProperty(sizes, sizes, sizes, arbitraryRandom, async (m, n, k, random) => {
          const [a, b] = [tensorOf([m, k], random), tensorOf([k, n], random)];
          const want = await transpose(matmul(a, b)).data();
          const read = matmul(b, a, { transposeA: true, transposeB: true });
          expectClose(await read.data(), want, f32Error);
          expectClose(await matmul(transpose(b), transpose(a)).data(), want, f32Error);
        }),
        { numRuns: 5 },
      ));

    test('⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩', () =>
      fc.assert(
        fc.asyncProperty(sizes, sizes, sizes, arbitraryRandom, async (m, n, k, random) => {
          const a = tensorOf([m, k], random);
          const [x, y] = [tensorOf([k, n], random), tensorOf([m, n], random)];
          const left = await number(() => mul(matmul(a, x), y));
          const right = await number(() => mul(x, matmul(a, y, { transposeA: true })));
          expectClose([left], [right], 1e-4);
        }),
        { numRuns: 5 },
      ));

    // The product is linear in each input, so ⟨a·b, g⟩ = ⟨a, da⟩ = ⟨b, db⟩ says that both gradients are
    // right.
    test('its gradients are its adjoints, for every transpose and shared matrix', () =>
      fc.assert(
        fc.asyncProperty(cases, arbitraryRandom, async (c, random) => {
          const plain: Case = { ...c, typeA: 'f32', typeB: 'f32', plus: false };
          const [a, b] = draw(plain, random).map((input) => upload(backend(), input));
          const output = apply(matmulOp, [a, b], c);
          const g = tensorOf(output.shape, random);
          if (typeof matmulOp.vjp !== 'function') throw new Error('matmul has no gradient of its own');
          const vjp = matmulOp.vjp as Vjp<MatmulAttrs>;
          const [da, db] = vjp([g], [a, b], [output], c, [true, true]).map((thunk) => thunk!()!);
          expect([da.shape, db.shape]).toEqual([a.shape, b.shape]);
          const want = await number(() => mul(output, g));
          expectClose([await number(() => mul(a, da))], [want], 1e-4, 'da');
          expectClose([await number(() => mul(b, db))], [want], 1e-4, 'db');
        }),
        { numRuns: 6 },
      ));

    test.each<[Shape, Shape]>([
      [
        [3, 4],
        [5, 4],
      ],
      [
        [2, 3, 4],
        [5, 4],
      ],
      [
        [2, 1, 3, 4],
        [5, 5, 4],
      ],
      [
        [1, 3, 4],
        [1, 5, 4],
      ],
    ])('plus + %j · %j ᵀ lies in the memory of what is added, if that is given up', async (...shapes) => {
      let state = 0;
      const random = () => (state = (state + 0.618) % 1);
      const [a, b] = shapes.map((shape) => tensorOf(shape, random));
      const product = await matmul(a, b, { transposeB: true }).data();
      const plus = matmul(a, b, { transposeB: true }); // which nobody else sees
      const kept = matmul(a, b, { transposeB: true, plus });
      const { buffer, shape } = plus;
      const live = backend().stats.liveBytes;
      const taken = matmul(a, b, { transposeB: true, plus: donate(plus) });
      expect([taken.buffer === buffer, plus.disposed, taken.shape]).toEqual([true, true, shape]);
      expect(backend().stats.liveBytes).toBe(live);
      for (const sum of [kept, taken]) {
        expectClose(
          await sum.data(),
          Float64Array.from(product, (x) => 2 * x),
          f32Error,
        );
      }
    });

    test('shapes and types it cannot take are refused by name', () => {
      const make = (shape: Shape, dtype: DType = 'f32') =>
        tensor(backend(), new Float32Array(size(shape)), shape, dtype);
      expect(() => matmul(make([2, 3]), make([4, 5]))).toThrow(
        new ShapeError('matmul: inner sizes must be equal, got f32[2, 3] and f32[4, 5]'),
      );
      expect(() => matmul(make([2, 3]), make([3, 5], 'f16'), { transposeB: true })).toThrow(
        new ShapeError('matmul: inner sizes must be equal, got f32[2, 3] and f16[3, 5] (b transposed)'),
      );
      expect(() => matmul(make([3]), make([3, 5]))).toThrow(
        new ShapeError('matmul: inputs must have two axes or more, got f32[3] and f32[3, 5]'),
      );
      expect(() => matmul(make([2, 2, 3]), make([4, 3, 5]))).toThrow(
        new ShapeError('matmul: batch axes: shapes must broadcast, got f32[2] and f32[4]'),
      );
      expect(() => matmul(make([2, 3], 'i32'), make([3, 5]))).toThrow(
        new DTypeError('matmul: needs f32 or f16, got i32[2, 3] and f32[3, 5]'),
      );
      expect(() => matmul(make([2, 3]), make([3, 5]), { plus: make([5]) })).toThrow(
        new ShapeError('matmul: what is added must be f32[2, 5], got f32[5]'),
      );
      expect(() => matmul(make([2, 3]), make([3, 5]), { plus: make([2, 5]), alpha: 2 })).toThrow(
        'matmul: alpha is for products alone, and f32[2, 5] is added',
      );
      expect(() => matmul(make([2, 3]), make([3, 5]), { plus: donate(make([2, 5], 'f16')) })).toThrow(
        new DTypeError('matmul: what is added must be f32[2, 5], got f16[2, 5]'),
      );
    });
  });

  describeEachBackend((backend) => {
    test('sizes compile no kernel', async () => {
      const random = () => 0.5;
      const run = async (m: number, n: number, k: number) => {
        const [x, w] = [drawUniform([m, k], random), drawUniform([n, k], random)];
        for (const dtype of ['f32', 'f16'] as const) {
          const weight = upload(backend(), asType(w, dtype));
          await matmul(upload(backend(), x), weight, { transposeB: true }).data();
          await matmul(matmul(upload(backend(), x), weight, { transposeB: true }), weight).data();
        }
      };
      // All beyond the lanes of any subgroup, below which fewer columns a lane are taken.
      await run(24, 96, 72);
      const before = backend().stats.pipelines;
      for (const [m, n, k] of [
        [24, 80, 128],
        [40, 96, 88],
        [57, 200, 136],
        [99, 144, 120],
      ]) {
        await run(m, n, k);
      }
      expect(backend().stats.pipelines).toBe(before);
    });
  }, deviceBackends);

  describeEachBackend(
    (backend) => {
      const deviceOf = (): WgslDevice => {
        const { subgroupSizes, software } = (backend() as WebGpuBackend).adapter;
        return { subgroupSize: subgroupSizes[0] === subgroupSizes[1] ? subgroupSizes[0] : 0, software };
      };
      // Products drawn for each: few where a text takes software Vulkan a second and more to compile.
      const bodies: [string, Body, number, (device: WgslDevice) => WgslDevice][] = [
        ['broadcast', 'broadcast', 12, (device) => device],
        ['tile', 'tile', 5, (device) => device],
        ['cell', 'cell', 12, (device) => device],
        ['dot', 'dot', 12, (device) => device],
        ['dot, lanes unknown', 'dot', 5, (device) => ({ ...device, subgroupSize: 0 })],
      ];

      describe.each(bodies)('the body %s', (_, body, numRuns, as) => {
        const forced = (device: WgslDevice): KernelOp<object> => ({
          ...(matmulOp as KernelOp<object>),
          wgsl: (inputs, [output], attrs) =>
            kernelOf(body, device, problemOf(inputs, output, attrs as MatmulAttrs)),
        });
        const problem = (c: Case): Problem =>
          problemOf(
            [
              { shape: shapeA(c), dtype: c.typeA },
              { shape: shapeB(c), dtype: c.typeB },
            ],
            { shape: shapeOf(c), dtype: 'f32' },
            c,
          );

        test('computes every product that it is said to take', async ({ skip }) => {
          const device = as(deviceOf());
          if (body === 'broadcast' && device.subgroupSize % 8 !== 0)
            skip('no subgroups of a known multiple of 8');
          await checkProducts(
            (inputs, attrs) => runOp(backend(), forced(device), inputs, attrs),
            numRuns,
            (c) => canRun(body, device, problem(c)),
          );
        });

        test('keeps a NaN within its matrix, its row of a, its column of b', async ({ skip }) => {
          const device = as(deviceOf());
          if (body === 'broadcast' && device.subgroupSize % 8 !== 0)
            skip('no subgroups of a known multiple of 8');
          for (const transposeB of body === 'dot' ? [true] : [true, false]) {
            const attrs = { transposeA: false, transposeB };
            const a = drawUniform([2, 9, 11], () => 0.75);
            const b = drawUniform(transposeB ? [2, 12, 11] : [2, 11, 12], () => 0.75);
            a.data[4 * 11 + 2] = Number.NaN;
            b.data[132 + (transposeB ? 5 * 11 : 5)] = Number.NaN;
            const { data } = await runOp(backend(), forced(device), [a, b], attrs);
            const where = Array.from(data, (x, i) => (Number.isNaN(x) ? i : -1)).filter((i) => i >= 0);
            const row = Array.from({ length: 12 }, (_, j) => 4 * 12 + j);
            const column = Array.from({ length: 9 }, (_, i) => 108 + i * 12 + 5);
            expect(where).toEqual([...row, ...column]);
          }
        });

        test('writes nothing below its last row', async ({ skip }) => {
          const device = as(deviceOf());
          if (body === 'broadcast' && device.subgroupSize % 8 !== 0)
            skip('no subgroups of a known multiple of 8');
          const attrs = { transposeA: false, transposeB: true };
          for (const m of [1, 5, 17]) {
            const below = 40;
            const [a, b] = [drawUniform([m, 19], () => 0.75), drawUniform([18, 19], () => 0.75)];
            const larger: KernelOp<object> = {
              ...forced(device),
              infer: () => ({ shape: [m + below, 18], dtype: 'f32' }),
              wgsl: (inputs) =>
                kernelOf(body, device, problemOf(inputs, { shape: [m, 18], dtype: 'f32' }, attrs)),
            };
            const { data } = await runOp(backend(), larger, [a, b], attrs);
            // The memory held NaN before.
            const untouched = new Float64Array(below * 18).fill(Number.NaN);
            expectClose(data, [...product([a, b], attrs), ...untouched], f32Error, `m = ${m}`);
          }
        });

        // So many that tiles are taken 128 × 128, and that workgroups of neighbouring matrices run at once.
        test('writes no row of one matrix into the next', async ({ skip }) => {
          const device = as(deviceOf());
          if (body === 'broadcast' && device.subgroupSize % 8 !== 0)
            skip('no subgroups of a known multiple of 8');
          const attrs = { transposeA: false, transposeB: true };
          let state = 0;
          const random = () => (state = (state + 0.618) % 1);
          const [a, b] = [drawUniform([256, 17, 19], random), drawUniform([256, 18, 19], random)];
          const { data } = await runOp(backend(), forced(device), [a, b], attrs);
          expectClose(data, product([a, b], attrs), f32Error);
        });
      });
    },
    deviceBackends.filter(({ label }) => label === '[webgpu]'),
  );
});

describe('the choice of a body', () => {
  const software: WgslDevice = { subgroupSize: 8, software: true };
  const real: WgslDevice = { subgroupSize: 32, software: false };
  const square = (n: number): Problem => ({
    m: n,
    n,
    k: n,
    batch: 1,
    strideA: 0,
    strideB: 0,
    transposeA: false,
    transposeB: true,
    typeA: 'f32',
    typeB: 'f16',
    scalesB: {},
    plus: false,
    alpha: 1,
  });

  test('software Vulkan takes broadcast wherever its subgroups allow it', () => {
    for (const p of [square(1), square(1024), { ...square(64), transposeA: true, transposeB: false }]) {
      expect(choose(software, p)).toBe('broadcast');
      for (const subgroupSize of [0, 4])
        expect(choose({ ...software, subgroupSize }, p)).not.toBe('broadcast');
    }
  });

  test('a real device takes tiles, and for few rows or columns dot products or cells', () => {
    expect(choose(real, square(1024))).toBe('tile');
    expect(choose(real, { ...square(1024), m: 1 })).toBe('dot');
    expect(choose(real, { ...square(1024), n: 8 })).toBe('dot');
    expect(choose(real, { ...square(1024), n: 8, k: 8 })).toBe('cell');
    expect(choose(real, { ...square(1024), m: 1, transposeB: false })).toBe('cell');
    expect(choose({ ...real, subgroupSize: 0 }, square(1024))).toBe('tile');
  });
});

describeEachBackend((backend) => {
  test('a product over no steps is zeros, and what follows it is computed', async () => {
    const [a, b] = [tensor(backend(), [], [2, 0]), tensor(backend(), [], [0, 3])];
    expect(Array.from(await matmul(a, b).data())).toEqual([0, 0, 0, 0, 0, 0]);
    const one = tensor(backend(), [2], [1, 1]);
    expect(Array.from(await matmul(one, one).data())).toEqual([4]);
  });
});
