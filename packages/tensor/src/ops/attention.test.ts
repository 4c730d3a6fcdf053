import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { openWasm } from '../backends/wasm/wasm.ts';
import { type DType, type Shape, type Tensor, tensor } from '../index.ts';
import { type AnyOp, opTable } from '../kernel.ts';
import {
  arbitraryRandom,
  asType,
  compileTexts,
  type DrawnInput,
  describeEachBackend,
  drawUniform,
  expectClose,
  kernelsOnCards,
  randomFrom,
  referenceBackend,
  runOpAll,
  webGpuBackend,
} from '../testing/index.ts';
import { attention } from './attention.ts';

const backends = [1, 3].map((threads) => openWasm({ threads }));
afterAll(() => Promise.all(backends.map((backend) => backend.close())));

const ops = ['attention', 'attentionQueryGradient', 'attentionKeyValueGradients'].map(
  (name) => opTable.get(name)!,
);

interface Case {
  readonly b: number;
  readonly t: number;
  readonly kv: number;
  readonly group: number;
  readonly d: number;
  /** Keys before the first token; or bounds drawn for each query. */
  readonly before: number | 'drawn';
  readonly keys: DType;
}

/** The inputs of an op, rows of a softmax being about as large as they are. */
function draw({ b, t, kv, group, d, before, keys }: Case, op: AnyOp, random: () => number) {
  const s = before === 'drawn' ? 70 : before + t;
  const real = (shape: Shape, dtype: DType = 'f32') => asType(drawUniform(shape, random), dtype);
  const isGradient = op.name !== 'attention';
  const type = isGradient ? 'f32' : keys;
  const q = [b, t, kv * group, d];
  const inputs: DrawnInput[] = [real(q), real([b, s, kv, d], type), real([b, s, kv, d], type)];
  if (isGradient) {
    const ofRows = real([2, ...q.slice(0, 3)]);
    const { length } = ofRows.data;
    // lse, then delta.
    inputs.push(real(q), { ...ofRows, data: ofRows.data.map((x, i) => (2 * i < length ? 4 : 0) + x) });
  }
  if (before === 'drawn') {
    const data = Int32Array.from({ length: 2 * b * t }, () => Math.floor(random() * s));
    inputs.push({ shape: [b, t, 2], dtype: 'i32', data });
  }
  return { inputs, attrs: { scale: 1 / Math.sqrt(d), offset: before === 'drawn' ? 0 : before } };
}

// Both sides of quads, of blocks of 64, and of vectors.
const cases = fc.record<Case>({
  b: fc.constantFrom(1, 2),
  t: fc.constantFrom(1, 2, 3, 5, 63, 64, 65, 67, 131),
  kv: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 3),
  d: fc.constantFrom(2, 6, 8, 18, 32, 37, 80),
  before: fc.constantFrom<Case['before']>(0, 1, 66, 'drawn'),
  keys: fc.constantFrom<DType>('f32', 'f16'),
});

describe.each(ops.map((op): [string, AnyOp] => [op.name, op]))('%s on the CPU engine', (_, op) => {
  test('is the definition at odd lengths, in groups of heads, and has the same bits on three threads', () =>
    fc.assert(
      fc.asyncProperty(cases, arbitraryRandom, async (c, random) => {
        const { inputs, attrs } = draw(c, op, random);
        const [want, one, three] = await Promise.all(
          [await referenceBackend.open(), ...backends].map((backend) => runOpAll(backend, op, inputs, attrs)),
        );
        want.forEach(({ data, shape }, k) => {
          expectClose(one[k].data, data, 1e-5, op.name, shape);
          expect(Buffer.compare(bytesOf(one[k].data), bytesOf(three[k].data))).toBe(0);
        });
      }),
      { numRuns: 25 },
    ));
});

test.each(ops.map((op): [string, AnyOp] => [op.name, op]))('%s has shaders for graphics cards', (_, op) => {
  const sizes = [1, 256].flatMap((t) => [37, 80, 128].map((d) => ({ t, d })));
  const kernels = sizes.flatMap(({ t, d }) =>
    (['f32', 'f16'] as const).flatMap((keys) =>
      ([7, 'drawn'] as const).flatMap((before) => {
        const { inputs, attrs } = draw({ b: 1, t, kv: 1, group: 1, d, before, keys }, op, () => 0);
        return kernelsOnCards(op, inputs, attrs);
      }),
    ),
  );
  return compileTexts(kernels);
});

const bytesOf = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

describeEachBackend(
  (backend) => {
    test.each(ops.map((op): [string, AnyOp] => [op.name, op]))(
      '%s of long texts, in f16 where it can be',
      async (_, op) => {
        const random = randomFrom(7);
        const long: Case = { b: 1, t: 69, kv: 1, group: 2, d: 20, before: 6, keys: 'f16' };
        const { inputs, attrs } = draw(long, op, random);
        const want = await runOpAll(await referenceBackend.open(), op, inputs, attrs);
        const got = await runOpAll(backend(), op, inputs, attrs);
        want.forEach(({ data, shape }, k) => void expectClose(got[k].data, data, 1e-5, op.name, shape));
      },
    );
  },
  [webGpuBackend],
);

describeEachBackend((backend) => {
  const numbers = (n: number, phase: number) =>
    Float32Array.from({ length: n }, (_, i) => Math.sin(1.7 * i + phase));

  test('what a token sees decides on its bits: not further keys, nor other rows', async () => {
    const [h, d, s] = [2, 8, 70];
    const one = numbers(h * d, 0);
    const keys = numbers(s * h * d, 1);
    const values = numbers(s * h * d, 2);
    const of = (b: number, columns: number) => {
      const padded = (x: Float32Array) => {
        const all = new Float32Array(b * columns * h * d).fill(3);
        all.set(x);
        return tensor(backend(), all, [b, columns, h, d]);
      };
      const seen = Int32Array.from({ length: 2 * b }, (_, i) => (i % 2) * (s - 1));
      const q = new Float32Array(b * h * d).fill(5);
      q.set(one);
      const x = attention(tensor(backend(), q, [b, 1, h, d]), padded(keys), padded(values), {
        scale: 0.5,
        seen: tensor(backend(), seen, [b, 1, 2], 'i32'),
      });
      return firstRow(x, h * d);
    };
    const alone = await of(1, s);
    expect(await of(1, 128)).toEqual(alone);
    expect(await of(3, 128)).toEqual(alone);
  });

  test('takes memory by tokens, not by pairs of them', () => {
    const { stats } = backend();
    const peak = (t: number) => {
      const [q, k, v] = [0, 1, 2].map(() => tensor(backend(), new Float32Array(16 * t), [1, t, 2, 8]));
      const before = stats.liveBytes;
      backend().resetPeak();
      const mixed = attention(q, k, v, { scale: 0.5 });
      for (const x of [q, k, v, mixed]) x.dispose();
      return stats.peakBytes - before;
    };
    expect(peak(1024)).toBeLessThanOrEqual(2 * peak(512));
  });
});

async function firstRow(x: Tensor, n: number): Promise<number[]> {
  return Array.from((await x.data()).subarray(0, n));
}

test.each<[string, Shape[], DType, number, string]>([
  [
    'a key that is none',
    [
      [1, 2, 2, 4],
      [1, 0, 2, 4],
      [1, 0, 2, 4],
    ],
    'f32',
    0,
    'needs q [b, t, h, d]',
  ],
  [
    'heads that no group has',
    [
      [1, 2, 3, 4],
      [1, 2, 2, 4],
      [1, 2, 2, 4],
    ],
    'f32',
    0,
    'h a multiple of kv',
  ],
  [
    'values of another length',
    [
      [1, 2, 2, 4],
      [1, 2, 2, 4],
      [1, 3, 2, 4],
    ],
    'f32',
    0,
    'needs q [b, t, h, d]',
  ],
  [
    'keys that are numbers of things',
    [
      [1, 2, 2, 4],
      [1, 2, 2, 4],
      [1, 2, 2, 4],
    ],
    'i32',
    0,
    'of f32 or f16',
  ],
  [
    'an offset below 0',
    [
      [1, 2, 2, 4],
      [1, 2, 2, 4],
      [1, 2, 2, 4],
    ],
    'f32',
    -1,
    'the offset must be 0',
  ],
])('refuses %s', async (_, shapes, keys, offset, message) => {
  const backend = await referenceBackend.open();
  const [q, k, v] = shapes.map((shape, i) =>
    tensor(backend, new Float32Array(shape.reduce((n, x) => n * x, 1)), shape, i === 0 ? 'f32' : keys),
  );
  expect(() => attention(q, k, v, { scale: 1, offset })).toThrow(message);
});
