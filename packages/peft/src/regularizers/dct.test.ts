import { openReference, scope, tensor } from '@flex/tensor';
import { describeEachBackend, relativeError } from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { directDct, directSignals, download, someAdapter } from '../testing/direct-penalty.ts';
import { checkRegularizer } from '../testing/index.ts';
import { type DctOptions, dctPenalty, mirrorSpectrum } from './dct.ts';
import { fourier } from './fourier.ts';

const reference = openReference();
/** X_k² for each k of each row. */
const powers = async (rows: readonly (readonly number[])[], backend = reference) => {
  const n = rows[0].length;
  const out = scope(() => mirrorSpectrum(tensor(backend, rows.flat(), [rows.length, n])));
  const parts = await out.data();
  out.dispose();
  const at = (r: number, k: number) => 2 * (r * (n + 1) + k);
  return rows.flatMap((row, r) =>
    row.map((_, k) => (parts[at(r, k)] ** 2 + parts[at(r, k) + 1] ** 2) / (k === 0 ? 2 : 1)),
  );
};

describeEachBackend((backend) => {
  it('is the sum that defines it, row by row, for every length from 1 to 40', async () => {
    for (let n = 1; n <= 40; n++) {
      const rows = [0, 1, 2].map((r) =>
        Array.from({ length: n }, (_, j) => Math.fround(Math.sin(j * j + r))),
      );
      const direct = rows.flatMap(directDct).map((x) => x * x);
      const error = relativeError(await powers(rows, backend()), direct);
      expect(error, `n = ${n}`).toBeLessThan(backend().name === 'reference' ? 1e-13 : 1e-6);
    }
  });

  it('the penalty equals the sum that defines it, for every choice of options', async () => {
    const params = someAdapter(backend());
    const start = someAdapter(backend(), 2);
    const [numbers, before] = [await download(params), await download(start)];
    for (const given of everyOption) {
      const options = { ...defaults, ...given };
      const expected = directSignals(numbers, options, before).flatMap((x) =>
        directDct(x).map((coefficient, k) => weightOf(k, x.length, options) * coefficient ** 2),
      );
      const got = await dctPenalty(given, start).penalty(params, 1).item();
      const total = expected.reduce((a, b) => a + b);
      expect(Math.abs(got / total - 1), JSON.stringify(given)).toBeLessThan(1e-5);
    }
  });
});

describe('the transform', () => {
  const signal = fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 1, maxLength: 40 });
  const energy = (x: readonly number[]) => x.reduce((sum, value) => sum + value * value, 0);

  it('keeps the energy (Parseval)', () =>
    fc.assert(
      fc.asyncProperty(signal, async (x) => {
        const total = (await powers([x])).reduce((sum, power) => sum + power, 0);
        expect(total).toBeCloseTo(energy(x), 9);
      }),
      { numRuns: 30 },
    ));

  it('is linear: the powers of x + y and x − y are together twice those of x and y', () =>
    fc.assert(
      fc.asyncProperty(signal, async (x) => {
        const y = x.map((value, j) => Math.cos(value + j));
        const [X, Y] = [await powers([x]), await powers([y])];
        const [sum, difference] = [
          await powers([x.map((value, j) => value + y[j])]),
          await powers([x.map((value, j) => value - y[j])]),
        ];
        for (const [k, power] of sum.entries())
          expect(power + difference[k]).toBeCloseTo(2 * (X[k] + Y[k]), 9);
      }),
      { numRuns: 30 },
    ));

  it('has the same powers of the signal read backwards', () =>
    fc.assert(
      fc.asyncProperty(signal, async (x) => {
        const X = await powers([x]);
        for (const [k, power] of (await powers([x.toReversed()])).entries())
          expect(power).toBeCloseTo(X[k], 9);
      }),
      { numRuns: 30 },
    ));

  it('has the known values of SciPy', async () => {
    // scipy.fft.dct([1, 2, 3, 4], norm='ortho')
    const known = [5, -2.230442497387663, 0, -0.15851266778110737];
    for (const [k, power] of (await powers([[1, 2, 3, 4]])).entries())
      expect(power).toBeCloseTo(known[k] ** 2, 12);
    // One of its own waves is one coefficient.
    const wave = Array.from({ length: 6 }, (_, j) => Math.cos((Math.PI * (2 * j + 1) * 2) / 12));
    for (const [k, power] of (await powers([wave])).entries()) expect(power).toBeCloseTo(k === 2 ? 3 : 0, 12);
  });
});

it('keeps the contract of regularizers', async () => {
  await checkRegularizer(dctPenalty());
  await checkRegularizer(dctPenalty({ scope: 'product', ramp: 'step' }));
});

const slope = { a: tensor(reference, [...Array(32).keys()], [1, 32]), b: tensor(reference, [0, 0], [2, 1]) };

it('sees no jump between the end of a signal and its beginning, as the DFT does', async () => {
  const adapter = new Map([['m', slope]]);
  const shareOf = async (regularizer: { diagnostics: typeof ofDct.diagnostics }) =>
    1 - (await regularizer.diagnostics(adapter)).share_below;
  const ofDct = dctPenalty({ threshold: 0.2 });
  expect(await shareOf(ofDct)).toBeLessThan((await shareOf(fourier({ threshold: 0.2 }))) / 50);
});

it('knows the share of the power that is below the threshold', async () => {
  const wave = (k: number) => Array.from({ length: 8 }, (_, j) => Math.cos((Math.PI * (2 * j + 1) * k) / 16));
  const [low, high] = [wave(3), wave(4)];
  const both = low.map((x, j) => x + Math.sqrt(3) * high[j]);
  const a = tensor(reference, both, [1, 8]);
  const adapter = new Map([['m', { ...slope, a }]]);
  expect((await dctPenalty().diagnostics(adapter)).share_below).toBeCloseTo(0.25, 12);
});

it('with weights of 1 is the sum of squares, as the Fourier penalty of both sides', async () => {
  const params = someAdapter(reference);
  const all = { phiLow: 0, phiHigh: 0 };
  const squares = [...(await download(params)).values()].flatMap(({ data }) => data.map((x) => x * x));
  const total = squares.reduce((a, b) => a + b);
  expect(await dctPenalty(all).penalty(params, 1).item()).toBeCloseTo(total, 9);
  expect(
    await fourier({ ...all, sides: 'two' })
      .penalty(params, 1)
      .item(),
  ).toBeCloseTo(total, 9);
});

const defaults: DctOptions = {
  threshold: 0.5,
  phiLow: 1,
  phiHigh: 0.1,
  rho: '1-phi',
  ramp: 'ramp',
  scope: 'each',
  order: 'row',
  permutationSeed: 0,
};

const everyOption: Partial<DctOptions>[] = [
  {},
  { threshold: 0.25, phiLow: 0.8, phiHigh: 0.3 },
  { rho: 'phi' },
  { ramp: 'step' },
  ...(['a', 'b', 'product', 'concatenated', 'change'] as const).map((scope) => ({ scope })),
  ...(['column', 'each-row', 'permuted'] as const).map((order) => ({ order })),
];

function weightOf(k: number, n: number, { threshold, phiLow, phiHigh, rho, ramp }: DctOptions): number {
  const share = ramp === 'ramp' ? Math.min(1, k / (threshold * n)) : Number(k >= threshold * n);
  const phi = phiLow + (phiHigh - phiLow) * share;
  return rho === 'phi' ? phi : 1 - phi;
}
