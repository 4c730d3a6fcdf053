import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { float16BitsToFloat32, toFloat16Bits } from '../half-floats.ts';
import { kernel } from '../kernel-record.ts';
import type { KernelOp, Op } from '../op.ts';
import type { Spec } from '../shape.ts';
import { i32, wasmKernel } from '../wasm/index.ts';
import { arbitrarySamples, asType } from './arbitrary.ts';
import { checkTexts } from './check-texts.ts';
import { expectClose, relativeError } from './compare.ts';
import { compileTexts, kernelsOnCards } from './compile-texts.ts';

describe('expectClose', () => {
  test('takes what is within tolerance·(1 + |want|) and names what is not, by its place', () => {
    expectClose([1.9, 101], [2, 100], 0.05);
    const wrong = () => expectClose([1, 2, 3, 4.5, 6, 9], [1, 2, 3, 4, 5, 6], 0.05, 'y', [2, 3]);
    expect(wrong).toThrow(
      /^y: 3 of 6 elements are off by more than 0.05 \(relative 2-norm 3.4e-1\)\n {2}\[1, 0\]: got 4.5/,
    );
  });

  test('takes no NaN for a number, no other length, and infinities as they are', () => {
    expect(() => expectClose([Number.NaN], [0], 1e9)).toThrow('got NaN, want 0');
    expect(() => expectClose([1], [Infinity], 1e9)).toThrow('want Infinity');
    expect(() => expectClose([1], [1, 1], 1)).toThrow('needs 2 elements, got 1');
    expectClose([Number.NaN, -Infinity], [Number.NaN, -Infinity], 0);
  });
});

test('relativeError is ‖got − want‖ / ‖want‖', () => {
  expect(relativeError([3, 5], [3, 4])).toBeCloseTo(0.2, 12);
  expect(relativeError([0, 0], [0, 0])).toBe(0);
});

interface Attrs {
  readonly scale: number;
}

/** scale·x; what its texts hold is to be chosen. */
const scaleOp = (text: (n: number, scale: number) => string, samples = [[3], [8]]): Op<Attrs> => ({
  kind: 'kernel',
  name: 'scale',
  infer: ([x]) => x,
  wgsl: ([x], [out], { scale }) => {
    const body = text(x.shape[0], scale);
    return kernel({
      name: 'scale',
      in: { x },
      out: { out },
      grid: { cells: 1 },
      variant: [body],
      body: () => body,
    });
  },
  host: () => () => {},
  vjp: null,
  samples: samples.map((shape) => ({ shapes: [shape], attrs: { scale: 0.5 } })),
  domains: [{ kind: 'real', min: 1, max: 3 }],
});

describe('checkTexts', () => {
  test('finds a size and a scalar in a text', () => {
    expect(() => checkTexts(scaleOp((n) => `i < ${n}u`))).toThrow(
      'scale: its WGSL (0 lanes) text holds the size 3',
    );
    expect(() => checkTexts(scaleOp((_, scale) => `x * ${scale}`))).toThrow('text holds the scalar 0.5');
  });

  test('finds a kernel that binds more than every device takes', () => {
    const binding = (count: number): Op<Attrs> => ({
      ...(scaleOp(() => '') as KernelOp<Attrs>),
      wgsl: ([x], [out]) =>
        kernel({
          name: 'scale',
          in: Object.fromEntries(Array.from({ length: count - 1 }, (_, i) => [`x${i}`, x])),
          out: { out },
          grid: { cells: 1 },
          body: () => '',
        }),
    });
    expect(() => checkTexts(binding(8))).not.toThrow();
    expect(() => checkTexts(binding(9))).toThrow(
      'scale: binds 9 buffers, and a device need not take more than 8',
    );
  });

  test('finds two texts under one key', () => {
    const op = scaleOp((n) => (n > 16 ? 'tiled' : 'plain')) as KernelOp<Attrs>;
    const keyed = (x: Spec, out: Spec) =>
      kernel({
        name: 'scale',
        in: { x },
        out: { out },
        grid: { cells: 1 },
        body: () => (x.shape[0] > 16 ? 'tiled' : 'plain'),
      });
    const wrong: Op<Attrs> = { ...op, wgsl: ([x], [out]) => keyed(x, out) };
    expect(() => checkTexts(wrong)).toThrow('two texts have the key');
  });

  test('finds the same in WebAssembly, and kernels for sizes that WGSL has none for', () => {
    const scaleWasm = (holds: (n: number) => number, variant = holds): Op<Attrs> => ({
      ...(scaleOp(() => '') as KernelOp<Attrs>),
      wasm: ([x], [out]) =>
        wasmKernel({
          name: 'scale',
          in: { x },
          out: { out },
          items: 1,
          cost: 1,
          variant: [variant(x.shape[0])],
          body: (w, { out }) => w.store(out, i32.const(holds(x.shape[0]))),
        }),
    });
    expect(() => checkTexts(scaleWasm(() => 1))).not.toThrow();
    expect(() => checkTexts(scaleWasm((n) => n))).toThrow('scale: its WebAssembly text holds the size 3');
    expect(() =>
      checkTexts(
        scaleWasm(
          (n) => n,
          () => 1,
        ),
      ),
    ).toThrow('two texts have the key');
    expect(() => checkTexts(scaleWasm((n) => (n > 16 ? 1 : 0)))).toThrow('make new WebAssembly');
  });

  test('lets a text depend on a class of sizes', () => {
    expect(() => checkTexts(scaleOp((n) => (n % 4 === 0 ? 'wide' : 'narrow')))).not.toThrow();
    expect(() => checkTexts(scaleOp((n) => (n > 16 ? 'tiled' : 'plain')))).not.toThrow();
  });
});

test('compileTexts tells what is no shader, in the words of the compiler', async () => {
  const withBody = (body: string) =>
    kernelsOnCards(
      scaleOp(() => body),
      [{ shape: [3], dtype: 'f32' }],
      {},
    );
  await compileTexts(withBody('out[0] = x[0];'));
  await expect(compileTexts(withBody('out[0] = y[0];'))).rejects.toThrow(/^scale .*unresolved value 'y'/);
  const lanesApart = 'if (x[lane] > 0.0) { workgroupBarrier(); }';
  await expect(compileTexts(withBody(lanesApart))).rejects.toThrow('must only be called from uniform');
});

describe('arbitrarySamples', () => {
  const op = scaleOp(() => '', [[5], [40, 25]]);

  test('draws from the domain numbers that f32 holds exactly', () => {
    fc.assert(
      fc.property(arbitrarySamples(op), (samples) => {
        const numbers = samples.flatMap(({ inputs }) => [...inputs[0].data]);
        expect(numbers).toHaveLength(1005);
        expect(numbers.every((x) => x >= 1 && x <= 3 && Math.fround(x) === x)).toBe(true);
        expect(new Set(numbers).size).toBeLessThan(numbers.length);
      }),
      { numRuns: 20 },
    );
  });

  test('draws numbers apart from each other and from the middle', () => {
    fc.assert(
      fc.property(arbitrarySamples(op, 'apart'), (samples) => {
        for (const { inputs } of samples) {
          const sorted = [...inputs[0].data].sort((x, y) => x - y);
          const part = 2 / sorted.length;
          sorted.forEach((x, i) => {
            if (i > 0) expect(x - sorted[i - 1]).toBeGreaterThan(0.7 * part);
            expect(Math.abs(x - 2)).toBeGreaterThan(0.04 * part);
          });
        }
      }),
      { numRuns: 20 },
    );
  });
});

test('asType rounds numbers to what the type holds', () => {
  const input = { shape: [3], dtype: 'f32', data: Float32Array.of(1 / 3, -1.5, 2) } as const;
  expect([...asType(input, 'f16').data]).toEqual([...float16BitsToFloat32(toFloat16Bits(input.data))]);
  expect([...asType(input, 'i32').data]).toEqual([1, 2, 2]);
  expect(asType(input, 'u32').data).toBeInstanceOf(Uint32Array);
});
