import {
  fromFloat32,
  type Piece,
  type SafetensorsDType,
  toFloat16,
  toFloat32,
} from '@flex/tensor/safetensors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergedCheckpoint, roundedCheckpoint } from './merge.ts';
import { roundingErrors } from './rounding-errors.ts';
import type { WeightChange } from './weight-changes.ts';
import type { WeightFiles } from './weight-files.ts';

const module = 'model.layers.0.mlp.up_proj';
const name = `${module}.weight`;

interface Stored {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint16Array;
}

/** Weights in memory, read as a file's are. */
function files(tensors: Readonly<Record<string, Stored>>): WeightFiles {
  const bytesOf = (key: string) => new Uint8Array(tensors[key].data.buffer);
  return {
    names: () => Object.keys(tensors),
    has: (key) => key in tensors,
    spec: (key) => ({ ...tensors[key], bytes: bytesOf(key).length }),
    *readChunks(key, chunkBytes) {
      const bytes = bytesOf(key);
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.slice(at, at + chunkBytes);
    },
    async *stream(keys, chunkBytes) {
      for (const name of keys) for (const bytes of this.readChunks(name, chunkBytes)) yield { name, bytes };
    },
  };
}

/** All numbers of a weight, read in pieces of about so many bytes. */
function read(from: WeightFiles, key: string, chunkBytes = 256): Float32Array {
  const { dtype } = from.spec(key);
  return Float32Array.from(
    [...from.readChunks(key, chunkBytes)].flatMap((piece) => [...toFloat32(dtype, piece)]),
  );
}

const numbers = (n: number) =>
  fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: n, maxLength: n });

/** W [rows, columns], an adapter of it, and its s. Rows are enough for more than one piece of 64. */
const mergesOf = (widths: fc.Arbitrary<number>) =>
  fc
    .record({ rows: fc.integer({ min: 1, max: 70 }), columns: widths, rank: fc.integer({ min: 1, max: 3 }) })
    .chain(({ rows, columns, rank }) =>
      fc.record({
        rows: fc.constant(rows),
        columns: fc.constant(columns),
        rank: fc.constant(rank),
        w: numbers(rows * columns),
        left: numbers(rows * rank),
        right: numbers(rank * columns),
        scale: fc.constantFrom(2, 0.5, 16 / Math.sqrt(3)),
      }),
    );
const anyMerge = mergesOf(fc.integer({ min: 1, max: 3 }));
type Merge = typeof anyMerge extends fc.Arbitrary<infer T> ? T : never;

type Pair = WeightChange['pairs'][number];
const changeOf = (pair: Pair, magnitude?: Float32Array) => new Map([[name, { pairs: [pair], magnitude }]]);
const adapterOf = ({ left, right, rank, scale }: Merge, magnitude?: Float32Array) =>
  changeOf({ left: Float32Array.from(left), right: Float32Array.from(right), rank, scale }, magnitude);
const weightOf = ({ w, rows, columns }: Merge) =>
  files({ [name]: { dtype: 'F32', shape: [rows, columns], data: Float32Array.from(w) } });

/** W + s·L·R in another order of the sum, f64, and the largest number that was added. */
function sums({ w, left, right, rank, scale, columns }: Merge): { sum: number; largest: number }[] {
  return w.map((own, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    const terms = Array.from({ length: rank }, (_, k) => scale * left[i * rank + k] * right[k * columns + j]);
    const sum = terms.reduceRight((total, term) => total + term, 0) + own;
    return { sum, largest: Math.max(Math.abs(own), ...terms.map(Math.abs)) };
  });
}

describe('a merged weight', () => {
  it('is the f32 nearest to W + s·B·A, to the rounding of f64, in pieces of any size', () => {
    fc.assert(
      fc.property(anyMerge, fc.integer({ min: 1, max: 2000 }), (merge, chunkBytes) => {
        const merged = mergedCheckpoint(weightOf(merge), adapterOf(merge));
        expect(merged.spec(name)).toMatchObject({ dtype: 'F32', shape: [merge.rows, merge.columns] });
        expect(merged.spec(name).bytes).toBe(4 * merge.w.length);
        const found = read(merged, name, chunkBytes);
        const beyond = sums(merge).filter(({ sum, largest }, at) => {
          const half = Math.abs(Math.fround(sum)) * 2 ** -24 + 2 ** -150;
          return !(Math.abs(found[at] - sum) <= half + largest * 2 ** -48);
        });
        expect(beyond).toEqual([]);
      }),
    );
  });

  it('as f16 and bf16 is its f32 rounded, which is all that is rounded', () => {
    fc.assert(
      fc.property(anyMerge, (merge) => {
        const merged = mergedCheckpoint(weightOf(merge), adapterOf(merge));
        const wide = read(merged, name);
        for (const [storage, dtype] of [
          ['f16', 'F16'],
          ['bf16', 'BF16'],
        ] as const) {
          const stored = read(roundedCheckpoint(merged, storage, [module]), name);
          const bits = fromFloat32(name, dtype, wide);
          expect(stored).toEqual(toFloat32(dtype, new Uint8Array(bits.buffer)));
          const spacing = dtype === 'F16' ? 2 ** -11 : 2 ** -8;
          const isNear = (x: number, i: number) =>
            Math.abs(x - wide[i]) <= Math.abs(wide[i]) * spacing + 2 ** -25;
          expect(stored.every(isNear)).toBe(true);
        }
      }),
    );
  });

  it('with B = 0 is W, bit for bit, of every dtype', () => {
    const w = Float32Array.of(1, -0.5, 3.140625, 0, 1e-7, 65504);
    const half = toFloat16('F32', new Uint8Array(w.buffer));
    const adapter = { left: new Float32Array(3), right: Float32Array.of(1, 2), rank: 1, scale: 2 };
    for (const stored of [
      { dtype: 'F32', data: w },
      { dtype: 'F16', data: half },
      { dtype: 'BF16', data: fromFloat32(name, 'BF16', w) },
    ] as const) {
      const from = files({ [name]: { ...stored, shape: [3, 2] } });
      expect(read(mergedCheckpoint(from, changeOf(adapter)), name)).toEqual(read(from, name));
    }
  });

  it('with a magnitude has rows of that norm and of the sum’s direction', () => {
    fc.assert(
      fc.property(anyMerge, (drawn) => {
        const merge = { ...drawn, w: drawn.w.map((x) => x + 1000) };
        const magnitude = Float32Array.from({ length: merge.rows }, (_, i) => 1 + i / 8);
        const found = read(mergedCheckpoint(weightOf(merge), adapterOf(merge, magnitude)), name);
        const expected = sums(merge);
        for (let i = 0; i < merge.rows; i++) {
          const row = expected.slice(i * merge.columns, (i + 1) * merge.columns).map(({ sum }) => sum);
          const norm = Math.hypot(...row);
          const error = row.map((x, j) => found[i * merge.columns + j] - (magnitude[i] * x) / norm);
          expect(Math.hypot(...error)).toBeLessThan(1e-5 * magnitude[i]);
        }
      }),
    );
  });

  it('leaves other weights as they are, their bytes and dtype, and streams what it reads', async () => {
    const norm = { dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0x7fc1) } as const;
    const up = { dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, 2) } as const;
    const from = files({ [name]: up, norm });
    const adapter = { left: Float32Array.of(1), right: Float32Array.of(1, 2), rank: 1, scale: 2 };
    const merged = mergedCheckpoint(from, changeOf(adapter));
    expect(merged.names()).toEqual([name, 'norm']);
    expect(merged.spec('norm').dtype).toBe('BF16');
    expect([...merged.readChunks('norm', 4)]).toEqual([...from.readChunks('norm', 4)]);
    const names = merged.names();
    const streamed: Piece[] = [];
    for await (const { name, bytes } of merged.stream(names, 256))
      streamed.push({ name, bytes: bytes.slice() });
    const chunksOf = (name: string) => [...merged.readChunks(name, 256)].map((bytes) => ({ name, bytes }));
    expect(streamed).toEqual(names.flatMap(chunksOf));
    expect([...read(merged, name)]).toEqual([3, 6]);
    expect([...read(roundedCheckpoint(merged, 'nf4', []), name)]).toEqual([3, 6]);
  });

  it('that was trained whole stands in the place of W, and so does a row, before what is added', () => {
    const w = { dtype: 'F32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) } as const;
    const whole = Float32Array.of(10, 20, 30, 40, 50, 60);
    const rows = new Map([[1, Float32Array.of(-1, -2)]]);
    const merged = (change: WeightChange) => [
      ...read(mergedCheckpoint(files({ [name]: w }), new Map([[name, change]])), name),
    ];
    const pair = { left: Float32Array.of(1, 1, 0), right: Float32Array.of(1, 2), rank: 1, scale: 0.5 };
    expect(merged({ whole, pairs: [] })).toEqual([...whole]);
    expect(merged({ rows, pairs: [] })).toEqual([1, 2, -1, -2, 5, 6]);
    expect(merged({ whole, rows, pairs: [pair, pair] })).toEqual([11, 22, 0, 0, 50, 60]);
  });

  it('that is not there, or not finite, is refused by its name', () => {
    const adapter = { left: Float32Array.of(Number.NaN), right: Float32Array.of(1), rank: 1, scale: 2 };
    const adapters = changeOf(adapter);
    expect(() => mergedCheckpoint(files({}), adapters)).toThrow(`merge: the model has no tensor "${name}"`);
    const from = files({ [name]: { dtype: 'F32', shape: [1, 1], data: Float32Array.of(1) } });
    expect(() => read(mergedCheckpoint(from, adapters), name)).toThrow(`tensor "${name}" would hold NaN`);
    const large = changeOf({ ...adapter, left: Float32Array.of(3e38) });
    expect(() => read(mergedCheckpoint(from, large), name)).toThrow('would hold 6');
  });
});

describe('unmerging', () => {
  it('by subtraction does not give an f16 weight back; the weights that were kept do, bit for bit', () => {
    const random = (phase: number) => (_: unknown, i: number) => Math.sin(12.9898 * i + phase);
    const w = toFloat16('F32', new Uint8Array(Float32Array.from({ length: 512 }, random(1)).buffer));
    const from = files({ [name]: { dtype: 'F16', shape: [64, 8], data: w } });
    const before = read(from, name);
    const adapter = {
      left: Float32Array.from({ length: 64 }, (_, i) => 0.1 * Math.sin(i)),
      right: Float32Array.from({ length: 8 }, (_, i) => Math.cos(i)),
      rank: 1,
      scale: 1,
    };
    const merged = roundedCheckpoint(mergedCheckpoint(from, changeOf(adapter)), 'f16', []);
    const stored = { dtype: 'F32', shape: [64, 8], data: read(merged, name) } as const;
    const minus = changeOf({ ...adapter, scale: -1 });
    const back = roundedCheckpoint(mergedCheckpoint(files({ [name]: stored }), minus), 'f16', []);
    const lost = read(back, name).filter((x, i) => x !== before[i]).length;
    expect(lost).toBeGreaterThan(20); // 44 of 512
    expect(read(from, name)).toEqual(before);
  });
});

describe('rounding errors', () => {
  it('are the norms of what is added and of what is lost, as a direct computation has them', () => {
    fc.assert(
      fc.property(mergesOf(fc.constant(8)), (merge) => {
        const storages = ['f32', 'bf16', 'int8', 'nf4'] as const;
        const found = (paths: readonly string[]) =>
          [...roundingErrors(weightOf(merge), adapterOf(merge), storages, paths)][0];
        const [changed, { delta, errors }] = found([module]);
        const { errors: others } = found([])[1];
        expect(others.get('int8')).toBe(others.get('f32'));
        expect(others.get('bf16')).toBe(errors.get('bf16'));
        const exact = sums(merge).map(({ sum }) => sum);
        const merged = mergedCheckpoint(weightOf(merge), adapterOf(merge));
        const norm = (of: ArrayLike<number>) => Math.hypot(...Array.from(of, (x, i) => x - exact[i]));
        expect(changed).toBe(name);
        expect(delta).toBeCloseTo(norm(merge.w), 9);
        for (const storage of storages) {
          const lost = norm(read(roundedCheckpoint(merged, storage, [module]), name));
          const rounding = 1e-9 + 1e-6 * Math.hypot(...exact);
          expect(Math.abs(errors.get(storage)! - lost)).toBeLessThanOrEqual(rounding + 1e-5 * lost);
        }
      }),
      { numRuns: 50 },
    );
  });
});
