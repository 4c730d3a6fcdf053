import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cast, type DType, matmul, type Shape, ShapeError, size, slice, tensor, transpose } from './index.ts';
import { type KernelOp, opTable } from './kernel.ts';
import { type Body, canRun, kernelOf } from './ops/matmul/choose.ts';
import { type MatmulAttrs, problemOf } from './ops/matmul/problem.ts';
import {
  dequantize,
  dynamicValues,
  newQuantizer,
  nf4Values,
  type QuantizedSpec,
  quantize,
} from './quantized.ts';
import type { QuantizedDType } from './quantized-layout.ts';
import { bytesOf, type Spec } from './shape.ts';
import {
  arbitraryRandom,
  asType,
  cards,
  compileTexts,
  type DrawnInput,
  describeEachBackend,
  deviceBackends,
  drawUniform,
  expectClose,
  readOnce,
  runOp,
  upload,
} from './testing/index.ts';

const dtypes: readonly QuantizedDType[] = ['int8', 'nf4'];

interface Recorded {
  readonly dtype: QuantizedDType;
  readonly shape: readonly [number, number];
  readonly kind: string;
  /** Base64, of small ones. */
  readonly bytes?: string;
  readonly size: number;
  readonly sha256: string;
  readonly numbersSha256: string;
}

const fixtures = join(import.meta.dirname, '../../../fixtures/quantize/quantized.json');
const recorded = JSON.parse(readFileSync(fixtures, 'utf8')) as Recorded[];
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
const bytesIn = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** The matrices of fixtures/quantize/make.py. */
function matrix(rows: number, columns: number, kind: string): Float32Array {
  let state = 12345n + BigInt(rows);
  const number = (): number => {
    state = (1103515245n * state + 12345n) % 2n ** 31n;
    return Number(state) / 2 ** 31 - 0.5;
  };
  const n = rows * columns;
  const three = [0, 1, 2].map(() => Array.from({ length: n }, number));
  return Float32Array.from({ length: n }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const x = three[0][i] + three[1][i] + three[2][i];
    if (kind === 'outliers') return row % 3 === 0 && column % 17 === 0 ? 64 * x : x;
    if (kind === 'zeros') return row === 0 || column < columns / 2 ? 0 : x;
    if (kind === 'even') return x < 0 ? -0.75 : 0.75;
    return kind === 'tiny' ? x * 2 ** -140 : x;
  });
}

test.each(recorded)('$dtype of a matrix $shape ($kind) is bit for bit that of NumPy', (one) => {
  const spec: QuantizedSpec = one;
  const w = matrix(...one.shape, one.kind);
  const bytes = quantize(spec, [w]);
  if (one.bytes) expect(Buffer.from(bytes).toString('base64')).toBe(one.bytes);
  expect([bytes.length, sha256(bytes)]).toEqual([one.size, one.sha256]);
  expect(bytes.length).toBe(bytesOf(spec));
  expect(sha256(bytesIn(dequantize(spec, bytes)))).toBe(one.numbersSha256);
});

test('pieces of any length give what the whole gives', () =>
  fc.assert(
    fc.property(
      fc.constantFrom(...dtypes),
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.integer({ min: 0, max: 300 })),
      arbitraryRandom,
      (dtype, rows, eights, lengths, random) => {
        const spec: QuantizedSpec = { dtype, shape: [rows, 8 * eights] };
        const w = drawUniform(spec.shape, random).data as Float32Array;
        const cuts = [...new Set([0, ...lengths.filter((at) => at < w.length), w.length])].sort(
          (a, b) => a - b,
        );
        const pieces = cuts.slice(1).map((end, i) => w.subarray(cuts[i], end));
        expect(quantize(spec, pieces)).toEqual(quantize(spec, [w]));
      },
    ),
  ));

test('what int8 and nf4 leave is as near as their values allow', () =>
  fc.assert(
    fc.property(arbitraryRandom, fc.integer({ min: 1, max: 9 }), (random, rows) => {
      const w = drawUniform([rows, 128], random).data as Float32Array;
      const [eight, four] = dtypes.map((dtype): Float32Array => {
        const spec: QuantizedSpec = { dtype, shape: [rows, 128] };
        return dequantize(spec, quantize(spec, [w]));
      });
      const farthest = (stored: Float32Array) => Math.max(...stored.map((x, i) => Math.abs(x - w[i])));
      expect(farthest(eight)).toBeLessThanOrEqual(0.5 / 127 + 1e-6);
      // Half of the widest gap between values, 0.304 from −1 on, and what a scale's own code leaves of it.
      expect(farthest(four)).toBeLessThanOrEqual(0.153 + 0.02);
    }),
  ));

test('the values are ascending, and each is its own nearest', () => {
  expect(dynamicValues).toHaveLength(256);
  for (const values of [nf4Values, dynamicValues])
    for (let i = 1; i < values.length; i++) expect(values[i]).toBeGreaterThan(values[i - 1]);
  const spec: QuantizedSpec = { dtype: 'nf4', shape: [1, 64] };
  const w = Float32Array.from({ length: 64 }, (_, i) => nf4Values[i % 16]);
  expect(dequantize(spec, quantize(spec, [w]))).toEqual(w);
});

test('of two values that are as near the smaller is taken', () => {
  const halves = [8, 6].map((code) => nf4Values[code] / 2);
  const w = Float32Array.of(1, ...halves, 0, 0, 0, 0, 0);
  expect([...quantize({ dtype: 'nf4', shape: [1, 8] }, [w]).subarray(0, 2)]).toEqual([0xf7, 0x67]);
  const even = Float32Array.of(127, 0.5, 1.5, 2.5, -0.5, -1.5, 0, 0);
  const codes = quantize({ dtype: 'int8', shape: [1, 8] }, [even]).subarray(0, 6);
  expect([...new Int8Array(codes)]).toEqual([127, 0, 2, 2, 0, -2]);
});

test('bytes are those of the codes and of the scales', () => {
  const bytes = (dtype: DType, ...shape: number[]) => bytesOf({ dtype, shape });
  expect(bytes('int8', 11008, 4096)).toBe(11008 * (4096 + 4));
  const blocks = (11008 * 4096) / 64;
  expect(bytes('nf4', 11008, 4096)).toBe((11008 * 4096) / 2 + 4 * 257 + blocks + (4 * blocks) / 256);
  expect([bytes('int8', 0, 8), bytes('nf4', 0, 8)]).toEqual([0, 4 * 257]);
});

test.each(dtypes)('%s refuses what it has no code for, and shapes that it cannot have', (dtype) => {
  const spec: QuantizedSpec = { dtype, shape: [2, 16] };
  for (const [x, name] of [
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, 'infinity'],
  ] as const) {
    const w = new Float32Array(32).fill(0.5).with(20, x);
    expect(() => quantize(spec, [w])).toThrow(new RangeError(`${dtype}: has no code for ${name}`));
  }
  expect(() => quantize(spec, [new Float32Array(31)])).toThrow(ShapeError);
  expect(() => quantize(spec, [new Float32Array(48)])).toThrow(ShapeError);
  const quantizer = newQuantizer(spec);
  quantizer.add(new Float32Array(8));
  expect(() => quantizer.end()).toThrow(
    new ShapeError(`${dtype}: got ${dtype === 'int8' ? 8 : 8} numbers, fewer than [2, 16] has`),
  );
  expect(() => bytesOf({ dtype, shape: [4, 12] })).toThrow(
    new ShapeError(`${dtype}: needs rows of a multiple of 8 elements, got 12`),
  );
  expect(() => bytesOf({ dtype, shape: [] })).toThrow(ShapeError);
});

describeEachBackend((backend) => {
  describe.each(dtypes)('%s', (dtype) => {
    const drawn = (shape: Shape, random: () => number): DrawnInput =>
      asType(drawUniform(shape, random), dtype);

    test('is read as the numbers that it stands for, and cast to them', () =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 5 }),
          fc.constantFrom(8, 24, 64, 136),
          arbitraryRandom,
          async (rows, columns, random) => {
            const w = drawn([rows, columns], random);
            const [read, made] = await Promise.all([
              readOnce(() => upload(backend(), w)),
              readOnce(() => cast(upload(backend(), w), 'f32')),
            ]);
            expect(Array.from(read.data)).toEqual(Array.from(w.data));
            // A device may round a scale's product and sum at once.
            expectClose(made.data, w.data, 1e-7, 'cast');
          },
        ),
        { numRuns: 5 },
      ));

    // Rows of 8 that blocks begin within, whole blocks, one row and many, both ways of reading.
    test.each([
      [1, 24, 72],
      [3, 40, 136],
      [17, 16, 64],
      [70, 72, 128],
    ])('x [%i, k] by W [%i, %i] and back is the product with those numbers', async (m, n, k) => {
      let state = 0;
      const random = () => (state = (state + 0.618) % 1);
      const w = drawn([n, k], random);
      const [x, g] = [drawUniform([m, k], random), drawUniform([m, n], random)];
      const want = (a: DrawnInput, transposeB: boolean) =>
        readOnce(() =>
          matmul(upload(backend(), a), upload(backend(), { ...w, dtype: 'f32', bytes: undefined }), {
            transposeB,
          }),
        );
      const got = (a: DrawnInput, transposeB: boolean) =>
        readOnce(() => matmul(upload(backend(), a), upload(backend(), w), { transposeB }));
      expectClose((await got(x, true)).data, (await want(x, true)).data, 1e-5, 'x·Wᵀ');
      expectClose((await got(g, false)).data, (await want(g, false)).data, 1e-5, 'g·W');
    });
  });

  test('what cannot read codes refuses them by name', () => {
    const w = tensor(backend(), new Float32Array(64).fill(1), [4, 16], 'nf4');
    const x = tensor(backend(), new Float32Array(16), [1, 16]);
    expect(() => matmul(w, x, { transposeB: true })).toThrow('matmul: needs f32 or f16, got nf4[4, 16]');
    expect(() => transpose(w)).toThrow(/permute: .*nf4\[4, 16\]/);
    expect(() => slice(w, [0, 0], [2, 16])).toThrow('slice: needs f32, i32 or u32, got nf4[4, 16]');
    expect(() => cast(x, 'int8')).toThrow(/cast: .*got f32\[1, 16\] to int8/);
    expect(size(w.shape)).toBe(64);
  });
});

test.each(dtypes)('every body has shaders for products with %s on graphics cards', (dtype) => {
  const calls = [true, false].flatMap((transposeB) =>
    (['tile', 'dot', 'cell', 'broadcast'] as const).map((body) => ({ body, transposeB })),
  );
  const kernels = calls.flatMap(({ body, transposeB }) => {
    const [a, b, output]: Spec[] = [
      { shape: [256, 512], dtype: 'f32' },
      { shape: transposeB ? [1024, 512] : [512, 1024], dtype },
      { shape: [256, 1024], dtype: 'f32' },
    ];
    const problem = problemOf([a, b], output, { transposeA: false, transposeB });
    return cards.filter((card) => canRun(body, card, problem)).map((card) => kernelOf(body, card, problem));
  });
  return compileTexts(kernels);
});

const webgpu = deviceBackends.filter(({ label }) => label === '[webgpu]');
describeEachBackend((backend) => {
  const matmulOp = opTable.get('matmul') as KernelOp<MatmulAttrs>;

  test.each<[Body, QuantizedDType, boolean]>([
    ['tile', 'nf4', true],
    ['tile', 'nf4', false],
    ['tile', 'int8', true],
    ['dot', 'nf4', true],
    ['dot', 'int8', true],
    ['cell', 'nf4', false],
    ['cell', 'int8', false],
  ])('the body %s computes products with %s, transposed: %j', async (body, dtype, transposeB) => {
    let state = 0;
    const random = () => (state = (state + 0.618) % 1);
    const forced = {
      ...matmulOp,
      wgsl: (inputs, [output], attrs, device) => kernelOf(body, device, problemOf(inputs, output, attrs)),
    } satisfies KernelOp<MatmulAttrs>;
    // Past one tile, and edges within tiles, words and blocks.
    const [m, n, k] = body === 'dot' ? [3, 40, 136] : [67, 72, 88];
    const a = drawUniform([m, k], random);
    const b = asType(drawUniform(transposeB ? [n, k] : [k, n], random), dtype);
    const attrs = { transposeA: false, transposeB };
    const run = (second: DrawnInput) => runOp(backend(), forced as KernelOp<object>, [a, second], attrs);
    const want = await run({ ...b, dtype: 'f32', bytes: undefined });
    expectClose((await run(b)).data, want.data, 1e-5, body);
  });
}, webgpu);
