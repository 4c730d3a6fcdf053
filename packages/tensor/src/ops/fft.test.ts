import { setTimeout } from 'node:timers/promises';
import { ConfigError } from '@flex/base';
import fc from 'fast-check';
import FFT from 'fft.js';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../backend.ts';
import { openWasm } from '../backends/wasm/wasm.ts';
import { DTypeError, ShapeError } from '../errors.ts';
import type { HostArray } from '../op.ts';
import type { Shape } from '../shape.ts';
import { scope, type Tensor, tensor } from '../tensor.ts';
import {
  allBackends,
  arbitraryRandom,
  describeEachBackend,
  expectClose,
  randomFrom,
  readOnce,
  relativeError,
} from '../testing/index.ts';
import { type FftNorm, irfft, rfft } from './fft.ts';

/** Largest ‖error‖/‖value‖ that a transform may have. */
const toleranceOf = (backend: Backend) => (backend.name === 'reference' ? 1e-13 : 5e-7);

const binsOf = (n: number) => Math.floor(n / 2) + 1;

function numbers(n: number, random: () => number): Float32Array {
  return Float32Array.from({ length: n }, () => 2 * random() - 1);
}

/** The definition, in f64: O(n²). Angles are reduced exactly, on integers. */
function directRfft(x: ArrayLike<number>, count: number): Float64Array {
  const n = x.length / count;
  const cos = Float64Array.from({ length: n }, (_, i) => Math.cos((2 * Math.PI * i) / n));
  const sin = Float64Array.from({ length: n }, (_, i) => Math.sin((2 * Math.PI * i) / n));
  const bins = binsOf(n);
  const out = new Float64Array(count * bins * 2);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < bins; k++) {
      let re = 0;
      let im = 0;
      for (let j = 0; j < n; j++) {
        re += x[row * n + j] * cos[(j * k) % n];
        im -= x[row * n + j] * sin[(j * k) % n];
      }
      out.set([re, im], 2 * (row * bins + k));
    }
  }
  return out;
}

const transform = async (backend: Backend, x: HostArray | readonly number[], shape: Shape, norm?: FftNorm) =>
  (await readOnce(() => rfft(tensor(backend, x, shape), { norm }))).data;

const inverse = async (backend: Backend, X: HostArray | readonly number[], n: number, norm?: FftNorm) => {
  const bins = binsOf(n);
  const shape = [X.length / (2 * bins), bins, 2];
  return (await readOnce(() => irfft(tensor(backend, X, shape), n, { norm }))).data;
};

function expectError(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number, what: string): void {
  expect(got.length, what).toBe(want.length);
  expect(relativeError(got, want), what).toBeLessThanOrEqual(tolerance);
}

/** Lengths of every kind: powers of two, smooth, odd, prime with and without a butterfly. */
const lengths = fc.oneof(
  fc.integer({ min: 1, max: 400 }),
  fc.constantFrom(1, 2, 43, 61, 67, 86, 97, 128, 143, 194, 211, 256, 344, 1009, 1018, 1024, 1408, 2816),
);

const everyLength = (f: (n: number, random: () => number) => Promise<void>) =>
  fc.assert(fc.asyncProperty(lengths, arbitraryRandom, f), { numRuns: 25 });

describeEachBackend((backend) => {
  test('rfft is the direct sum for every length from 1 to 70', async () => {
    const random = randomFrom(1);
    for (let n = 1; n <= 70; n++) {
      const x = numbers(3 * n, random);
      const want = directRfft(x, 3);
      expectError(await transform(backend(), x, [3, n]), want, toleranceOf(backend()), `n = ${n}`);
    }
  });

  test('irfft undoes rfft for every length from 1 to 70', async () => {
    const random = randomFrom(2);
    for (let n = 1; n <= 70; n++) {
      const x = numbers(2 * n, random);
      expectError(await inverse(backend(), directRfft(x, 2), n), x, toleranceOf(backend()), `n = ${n}`);
    }
  });

  test('rfft is the direct sum for larger lengths, primes among them', () =>
    fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: 71, max: 1500 }), fc.constantFrom(73, 127, 509, 1009, 1021, 1999)),
        arbitraryRandom,
        async (n, random) => {
          const x = numbers(n, random);
          expectError(
            await transform(backend(), x, [n]),
            directRfft(x, 1),
            toleranceOf(backend()),
            `n = ${n}`,
          );
        },
      ),
      { numRuns: 12 },
    ));

  test('rfft agrees with the library fft.js at powers of two', async () => {
    const random = randomFrom(3);
    for (let n = 2; n <= 32768; n *= 2) {
      const x = numbers(n, random);
      const other = new FFT(n);
      const want = other.createComplexArray();
      other.realTransform(want, x);
      const got = await transform(backend(), x, [n]);
      expectError(got, want.slice(0, n + 2), toleranceOf(backend()), `n = ${n}`);
    }
  });

  test('numbers of numpy.fft.rfft and irfft are met', async () => {
    const tolerance = toleranceOf(backend());
    expectClose(await transform(backend(), [1, 2, 3, 4], [4]), [10, 0, -2, 2, -2, 0], tolerance);
    expectClose(await transform(backend(), [1, 2, 3], [3]), [6, 0, -1.5, 0.8660254037844387], tolerance);
    expectClose(await transform(backend(), [1, 2, 3, 4], [4], 'ortho'), [5, 0, -1, 1, -1, 0], tolerance);
    expectClose(
      await transform(backend(), [1, 2, 3, 4], [4], 'forward'),
      [2.5, 0, -0.5, 0.5, -0.5, 0],
      tolerance,
    );
    expectClose(await transform(backend(), [7], [1]), [7, 0], tolerance);
    // np.fft.irfft([1+9j, 2+3j, 4+5j], 4) and (…, 5): the 9, and for 4 the 5, do not count.
    expectClose(await inverse(backend(), [1, 9, 2, 3, 4, 5], 4), [2.25, -2.25, 0.25, 0.75], tolerance);
    expectClose(
      await inverse(backend(), [1, 9, 2, 3, 4, 5], 5),
      [2.6, -3.1640519196390886, 1.2439843253392973, -1.1495571343393813, 1.4696247286391726],
      1e-6,
    );
    expectClose(await inverse(backend(), [1, 9, 2, 3], 2), [1.5, -0.5], tolerance);
    expectClose(await inverse(backend(), [3, 8], 1), [3], tolerance);
  });

  test('the norms split 1/n between the two directions', () =>
    everyLength(async (n, random) => {
      const x = numbers(n, random);
      const plain = await transform(backend(), x, [n]);
      const tolerance = toleranceOf(backend());
      for (const [norm, scale] of [
        ['ortho', 1 / Math.sqrt(n)],
        ['forward', 1 / n],
      ] as const) {
        const X = await transform(backend(), x, [n], norm);
        expectError(
          X,
          Float64Array.from(plain, (v) => v * scale),
          tolerance,
          `${norm} ${n}`,
        );
        expectError(await inverse(backend(), X, n, norm), x, 2 * tolerance, `${norm} inverse ${n}`);
      }
    }));

  test('irfft undoes rfft, and rfft undoes irfft on a spectrum of a real vector', () =>
    everyLength(async (n, random) => {
      const x = numbers(2 * n, random);
      const X = await transform(backend(), x, [2, n]);
      const back = await inverse(backend(), X, n);
      expectError(back, x, 2 * toleranceOf(backend()), `irfft(rfft) ${n}`);
      const spectrum = numbers(2 * binsOf(n), random);
      spectrum[1] = 0;
      if (n % 2 === 0) spectrum[n + 1] = 0;
      const again = await transform(backend(), await inverse(backend(), spectrum, n), [n]);
      expectError(again, spectrum, 2 * toleranceOf(backend()), `rfft(irfft) ${n}`);
    }));

  test('rfft is linear', () =>
    everyLength(async (n, random) => {
      const [x, y] = [numbers(n, random), numbers(n, random)];
      const X = await transform(backend(), x, [n]);
      const Y = await transform(backend(), y, [n]);
      const sum = await transform(
        backend(),
        Float64Array.from(x, (v, i) => 2 * v - 3 * y[i]),
        [n],
      );
      const want = Float64Array.from(X, (v, i) => 2 * v - 3 * Y[i]);
      const scale = Math.hypot(...X) * 2 + Math.hypot(...Y) * 3;
      const error = Math.hypot(...sum.map((v, i) => v - want[i]));
      expect(error).toBeLessThanOrEqual(toleranceOf(backend()) * (scale + 1));
    }));

  test('Parseval: n·Σx² = Σ c_k·|X_k|², interior bins twice', () =>
    everyLength(async (n, random) => {
      const x = numbers(n, random);
      const X = await transform(backend(), x, [n]);
      let power = 0;
      for (let k = 0; k < binsOf(n); k++) {
        const twice = k > 0 && 2 * k < n ? 2 : 1;
        power += twice * (X[2 * k] ** 2 + X[2 * k + 1] ** 2);
      }
      const energy = n * x.reduce((sum, v) => sum + v * v, 0);
      expect(Math.abs(power - energy)).toBeLessThanOrEqual(2 * toleranceOf(backend()) * energy + 1e-12);
    }));

  test('a vector turned by s places has its bins turned by e^(−2πi·sk/n)', () =>
    everyLength(async (n, random) => {
      const x = numbers(n, random);
      const s = Math.floor(random() * n);
      const X = await transform(backend(), x, [n]);
      const got = await transform(
        backend(),
        x.map((_, j) => x[(j - s + n) % n]),
        [n],
      );
      const want = new Float64Array(X.length);
      for (let k = 0; k < binsOf(n); k++) {
        const angle = (-2 * Math.PI * ((s * k) % n)) / n;
        want[2 * k] = X[2 * k] * Math.cos(angle) - X[2 * k + 1] * Math.sin(angle);
        want[2 * k + 1] = X[2 * k] * Math.sin(angle) + X[2 * k + 1] * Math.cos(angle);
      }
      expectError(got, want, 2 * toleranceOf(backend()), `n = ${n}, s = ${s}`);
    }));

  test('an impulse has a flat spectrum, a constant one bin', () =>
    everyLength(async (n) => {
      const impulse = new Float32Array(n);
      impulse[0] = 1;
      const flat = Float32Array.from({ length: 2 * binsOf(n) }, (_, i) => 1 - (i % 2));
      expectError(await transform(backend(), impulse, [n]), flat, toleranceOf(backend()), `impulse ${n}`);
      const one = new Float32Array(2 * binsOf(n));
      one[0] = n;
      expectError(
        await transform(backend(), new Float32Array(n).fill(1), [n]),
        one,
        toleranceOf(backend()),
        `1s ${n}`,
      );
    }));

  test('the imaginary part of bin 0 and of bin n/2 is exactly 0', () =>
    everyLength(async (n, random) => {
      const X = await transform(backend(), numbers(n, random), [n]);
      expect(Math.abs(X[1])).toBe(0);
      if (n % 2 === 0) expect(Math.abs(X[n + 1])).toBe(0);
    }));

  test('axes before the last are a batch, and a batch is transformed row by row', async () => {
    for (const n of [1, 12, 15, 67, 134]) {
      const x = numbers(6 * n, randomFrom(n));
      const t = tensor(backend(), x, [2, 3, n]);
      const [X, back] = scope(() => {
        const bins = rfft(t);
        return [bins, irfft(bins, n)];
      });
      expect(X.shape).toEqual([2, 3, binsOf(n), 2]);
      expect(back.shape).toEqual([2, 3, n]);
      const rows = await X.data();
      const row = await transform(backend(), x.slice(4 * n, 5 * n), [n]);
      expect([...rows.slice(8 * binsOf(n), 10 * binsOf(n))]).toEqual([...row]);
      for (const made of [t, X, back]) made.dispose();
    }
  });

  test('a large batch takes as many kernels as two vectors', () => {
    for (const n of [1, 16, 97, 88064, 67, 1009, 2 * 67]) {
      expect(kernelsOf(backend(), [9, n]), `n = ${n}`).toBe(kernelsOf(backend(), [2, n]));
    }
  });

  test('the lengths of the adapters take few kernels', () => {
    expect(kernelsOf(backend(), [4, 88064])).toBe(5);
    expect(kernelsOf(backend(), [8, 32768])).toBe(5);
    expect(kernelsOf(backend(), [36, 2816])).toBe(4);
  });

  test('nothing is left behind but tables, which are kept for the next time', () => {
    const round = (n: number) =>
      scope(() => {
        const x = tensor(backend(), new Float32Array(3 * n), [3, n]);
        irfft(rfft(x), n);
      });
    for (const n of [90, 91, 71, 142]) round(n);
    const before = backend().stats.liveBytes;
    for (const n of [90, 91, 71, 142]) round(n);
    expect(backend().stats.liveBytes).toBe(before);
  });

  test('a transform holds two vectors at a time besides its input', () => {
    const [count, n] = [8, 32768];
    const x = tensor(backend(), new Float32Array(count * n), [count, n]);
    scope(() => void rfft(x)); // uploads the tables
    backend().resetPeak();
    const before = backend().stats.liveBytes;
    scope(() => void rfft(x));
    expect(backend().stats.peakBytes - before).toBeLessThan(2.5 * 4 * count * n);
    x.dispose();
  });

  test('an empty batch stays empty', async () => {
    expect((await transform(backend(), [], [0, 6])).length).toBe(0);
  });

  test('wrong inputs are refused by name', () => {
    const real = (shape: Shape): Tensor =>
      tensor(backend(), new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
    expect(() => rfft(real([]))).toThrow(ShapeError);
    expect(() => rfft(real([3, 0]))).toThrow('rfft: needs a last axis of 1 or more, got f32[3, 0]');
    expect(() => rfft(tensor(backend(), [1, 2], [2], 'i32'))).toThrow(DTypeError);
    expect(() => irfft(real([3, 2]), 6)).toThrow('irfft: length 6 needs f32[.., 4, 2], got f32[3, 2]');
    expect(() => irfft(real([2, 2]), 2.5)).toThrow('irfft: needs a length of 1 or more, got 2.5');
    expect(() => irfft(real([3]), 4)).toThrow(ShapeError);
    expect(() => irfft(tensor(backend(), [1, 2], [1, 2], 'i32'), 1)).toThrow(DTypeError);
    expect(() => rfft(real([4]), { norm: 'both' as FftNorm })).toThrow(ConfigError);
  });
});

describe('long vectors', () => {
  const reference = allBackends[0];
  describeEachBackend((backend) => {
    test.each([5632, 32768, 65537, 88064])('of %i are within 5e-7 of f64', async (n) => {
      const x = numbers(2 * n, randomFrom(n));
      const want = await transform(await reference.open(), x, [2, n]);
      const got = await transform(backend(), x, [2, n]);
      expectError(got, want, 5e-7, `rfft ${n}`);
      expectError(await inverse(backend(), want, n), x, 5e-7, `irfft ${n}`);
    });

    test('88064 bins are the direct sums', async () => {
      const n = 88064;
      const x = numbers(n, randomFrom(7));
      const X = await transform(backend(), x, [n]);
      const power = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
      for (const k of [0, 1, 43, 2048, 2047, 12345, 44031, 44032]) {
        let re = 0;
        let im = 0;
        for (let j = 0; j < n; j++) {
          const angle = (-2 * Math.PI * ((j * k) % n)) / n;
          re += x[j] * Math.cos(angle);
          im += x[j] * Math.sin(angle);
        }
        const error = Math.hypot(X[2 * k] - re, X[2 * k + 1] - im) / power;
        expect(error, `bin ${k}`).toBeLessThanOrEqual(backend().name === 'reference' ? 1e-11 : 2e-6);
      }
    });
  });
});

test('one, two, three threads of the CPU engine transform to the same bits', async () => {
  const bytesOf = async (threads: number) => {
    const backend = openWasm({ threads });
    const all: Buffer[] = [];
    // Starts the threads, and gives them time to.
    await transform(backend, new Float32Array(131072), [131072]);
    await setTimeout(150);
    for (const [count, n] of [
      [1, 131072],
      [3, 88064],
      [5, 1009],
      [700, 86],
    ]) {
      const x = numbers(count * n, randomFrom(n));
      const X = await transform(backend, x, [count, n]);
      all.push(...[X, await inverse(backend, X, n)].map(({ buffer }) => Buffer.from(buffer)));
    }
    await backend.close();
    return Buffer.concat(all);
  };
  const one = await bytesOf(1);
  for (const threads of [2, 3]) expect((await bytesOf(threads)).equals(one)).toBe(true);
});

describeEachBackend(
  (backend) => {
    test('new lengths compile no kernel once the radices are known', () => {
      const odd = Array.from({ length: 34 }, (_, i) => 2 * i + 1);
      for (const n of [...odd, 4, 8, 16, 32, 134]) roundTrips(backend(), n);
      const before = backend().stats.pipelines;
      for (const n of [100, 143, 512, 1000, 1009, 88064, 32768, 2816, 5418, 3721, 71, 37 * 41])
        roundTrips(backend(), n);
      expect(backend().stats.pipelines).toBe(before);
    });
  },
  allBackends.filter(({ label }) => label === '[webgpu]' || label === 'wasm'),
);

function roundTrips(backend: Backend, n: number): void {
  for (const shape of [[n], [3, n]]) {
    scope(() => irfft(rfft(tensor(backend, new Float32Array(shape.reduce((a, b) => a * b)), shape)), n));
  }
}

/** Kernels of one rfft, its tables uploaded. */
function kernelsOf(backend: Backend, shape: Shape): number {
  const before = backend.stats.dispatches;
  scope(() => void rfft(tensor(backend, new Float32Array(shape.reduce((a, b) => a * b)), shape)));
  return backend.stats.dispatches - before;
}
