import { ConfigError } from '@flex/base';
import { type Backend, openReference, permute, tensor, zeros } from '@flex/tensor';
import { describeEachBackend, relativeError } from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AdapterPair, Adapters } from './adapters.ts';
import { type LoraConfig, resolveLora } from './lora.ts';
import { type LowRankProduct, productsOf, reduceProduct, subtractProduct } from './low-rank-product.ts';
import { productSpectra, spectraOfAdapter } from './spectrum.ts';

const reference = openReference();
const config: LoraConfig = { rank: 2, alpha: 6, dropout: 0, targets: ['up', 'down'], scaling: 'alpha/r' };
const scale = 3;

/** Two modules whose lengths are odd, even and equal. */
function someAdapter(backend: Backend, phase = 0): Map<string, AdapterPair> {
  const draw = (k: number, rows: number, columns: number) =>
    tensor(
      backend,
      Array.from({ length: rows * columns }, (_, i) => Math.fround(Math.sin(13 * (i + 1) + 5 * k + phase))),
      [rows, columns],
    );
  return new Map([
    ['m.0.up', { a: draw(0, 2, 5), b: draw(1, 7, 2) }],
    ['m.0.down', { a: draw(2, 2, 7), b: draw(3, 5, 2) }],
  ]);
}

const download = async (t: { data(): Promise<ArrayLike<number>> }) => Array.from(await t.data());
const squares = (values: readonly number[]) => values.reduce((sum, x) => sum + x * x, 0);

/** s·B·A of a module, a number at a time. */
async function directProduct({ a, b }: AdapterPair): Promise<number[][]> {
  const [rank, inputs] = a.shape;
  const [ofA, ofB] = [await download(a), await download(b)];
  return Array.from({ length: b.shape[0] }, (_, i) =>
    Array.from({ length: inputs }, (_, j) => {
      let sum = 0;
      for (let c = 0; c < rank; c++) sum += ofB[i * rank + c] * ofA[c * inputs + j];
      return scale * sum;
    }),
  );
}

/** Eigenvalues of a symmetric matrix by Jacobi's rotations, the largest first. */
function eigenvalues(symmetric: readonly (readonly number[])[]): number[] {
  const m = symmetric.map((row) => [...row]);
  const n = m.length;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const angle = 0.5 * Math.atan2(2 * m[p][q], m[q][q] - m[p][p]);
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < n; k++)
          [m[k][p], m[k][q]] = [cos * m[k][p] - sin * m[k][q], sin * m[k][p] + cos * m[k][q]];
        for (let k = 0; k < n; k++)
          [m[p][k], m[q][k]] = [cos * m[p][k] - sin * m[q][k], sin * m[p][k] + cos * m[q][k]];
      }
    }
  }
  return m.map((row, i) => row[i]).sort((x, y) => y - x);
}

function dense({ a, b }: LowRankProduct): number[][] {
  return Array.from(b[0], (_, i) =>
    Array.from(a[0], (_, j) => a.reduce((sum, v, c) => sum + b[c][i] * v[j], 0)),
  );
}

describeEachBackend((backend) => {
  it('keeps the power: Σ w² of each tensor, ‖s·B·A‖² = Σ σ² of each product', async () => {
    const adapters = someAdapter(backend());
    const { each, totals } = await spectraOfAdapter(adapters, { sides: 'two' });
    const direct = squares(await download(adapters.get('m.0.up')!.a));
    expect(Math.abs(each.get('m.0.up.a')!.power / direct - 1)).toBeLessThan(1e-6);
    const ofA = each.get('m.0.up.a')!.power + each.get('m.0.down.a')!.power;
    expect(totals.get('A')!.power).toBeCloseTo(ofA, 12);
    const products = await productsOf(adapters, resolveLora(config, adapters));
    const spectra = await productSpectra(backend(), products, { sides: 'two' });
    for (const [path, pair] of adapters) {
      const norm = squares((await directProduct(pair)).flat());
      const powers = [
        spectra.inputs.each.get(path)!.power,
        spectra.outputs.each.get(path)!.power,
        squares(spectra.singularValues.get(path)!),
      ];
      expect(relativeError(powers, [norm, norm, norm]), path).toBeLessThan(1e-6);
    }
  });

  it('of a product is that of its rows and of its columns, each a signal', async () => {
    const adapters = someAdapter(backend());
    const products = await productsOf(adapters, resolveLora(config, adapters));
    const found = await productSpectra(backend(), products, { bands: 3 });
    const direct = { scope: 'product', order: 'each-row', bands: 3 } as const;
    const transposed = new Map(
      [...adapters].map(([path, { a, b }]) => [path, { a: permute(b, [1, 0]), b: permute(a, [1, 0]) }]),
    );
    for (const [along, pairs] of [
      ['inputs', adapters],
      ['outputs', transposed],
    ] as const) {
      for (const [path, { bins, penalty, below, bands }] of (await spectraOfAdapter(pairs, direct)).each) {
        const own = found[along].each.get(path)!;
        expect(own.bins).toBe(bins);
        const got = [own.penalty, own.below, ...own.bands];
        const want = [scale ** 2 * penalty, below, ...bands];
        expect(relativeError(got, want), `${along} of ${path}`).toBeLessThan(1e-5);
      }
    }
  });
});

describe('reduceProduct', () => {
  const product = fc
    .record({
      rank: fc.integer({ min: 1, max: 5 }),
      n: fc.integer({ min: 1, max: 6 }),
      m: fc.integer({ min: 1, max: 6 }),
    })
    .chain(({ rank, n, m }) => {
      const vectors = (length: number) =>
        fc.array(
          fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: length, maxLength: length }),
          { minLength: rank, maxLength: rank },
        );
      return fc.record({ a: vectors(n), b: vectors(m) });
    })
    .map(({ a, b }) => ({ a: a.map((v) => Float64Array.from(v)), b: b.map((v) => Float64Array.from(v)) }));

  it('has the singular values of the product, whatever the rank', () =>
    fc.assert(
      fc.property(product, (given) => {
        const w = dense(given);
        const gram = w.map((row) => w.map((other) => row.reduce((sum, x, j) => sum + x * other[j], 0)));
        const squared = eigenvalues(gram);
        const { singularValues } = reduceProduct(given);
        expect(singularValues.length).toBe(Math.min(given.a.length, w.length, w[0].length));
        for (const [i, value] of singularValues.entries())
          expect(Math.abs(value ** 2 - squared[i])).toBeLessThan(1e-12 * (1 + squared[0]));
      }),
    ));

  it('finds singular values that are far apart, and those that are zero', () => {
    const unit = (i: number, by: number) => Float64Array.from({ length: 9 }, (_, j) => (i === j ? by : 0));
    const { singularValues } = reduceProduct({
      a: [unit(0, 1), unit(3, 1), unit(5, 1), unit(5, 1)],
      b: [unit(2, 1e-9), unit(4, 1e3), unit(1, 0), unit(0, 2)],
    });
    expect(relativeError(singularValues, [1e3, 2, 1e-9, 0])).toBeLessThan(1e-15);
    expect(Math.abs(singularValues[2] / 1e-9 - 1)).toBeLessThan(1e-9);
  });

  it('keeps a column beside one whose squares are no numbers of f64', () => {
    const { singularValues } = reduceProduct({
      a: [Float64Array.of(1, 0), Float64Array.of(0, 1)],
      b: [Float64Array.of(0, 1e-162, 0), Float64Array.of(0, -0.25, 0)],
    });
    expect(singularValues[0]).toBeCloseTo(0.25, 15);
  });

  it('of a difference is that of the difference of the products', () =>
    fc.assert(
      fc.property(product, (given) => {
        const other = {
          a: given.a.map((v) => v.map((x) => x * x - 1)),
          b: given.b.map((v) => v.toReversed()),
        };
        const [w, v] = [dense(given), dense(other)];
        const difference = dense(subtractProduct(given, other)).flat();
        const direct = w.flatMap((row, i) => row.map((x, j) => x - v[i][j]));
        for (const [i, x] of difference.entries()) expect(x).toBeCloseTo(direct[i], 10);
      }),
    ));
});

/** An adapter whose A are these signals, and whose B are zero. */
const signals = (all: readonly (readonly number[])[]): Adapters =>
  new Map(
    all.map((x, i) => [`m${i}`, { a: tensor(reference, x, [1, x.length]), b: zeros(reference, [1, 1]) }]),
  );

describe('noise', () => {
  // Of 2000 signals 100 ± 9.7 lie outside. The bounds are 4 deviations wide: a right band fails once in ten
  // thousand draws, one that holds 90 % (200 ± 13) passes less often, one that holds 97.5 % once in fifteen.
  it('holds 95 % of signals without order, whose numbers are neither Gaussian nor centred', async () => {
    let state = 2463534242;
    const uniform = () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) / 2 ** 32;
    };
    const all = Array.from({ length: 2000 }, (_, i) =>
      Array.from({ length: 20 + (i % 40) }, () => 1 - Math.log(uniform())),
    );
    const { each } = await spectraOfAdapter(signals(all), { scope: 'a', bands: 4, permutations: 39 });
    const outside = [0, 0, 0];
    for (const { below, bands, noise } of each.values()) {
      for (const [i, [share, [low, high]]] of [
        [below, noise!.below] as const,
        [bands[0], noise!.bands[0]] as const,
        [bands[2], noise!.bands[2]] as const,
      ].entries()) {
        if (share < low || share > high) outside[i]++;
      }
    }
    for (const count of outside) {
      expect(count).toBeGreaterThan(61);
      expect(count).toBeLessThan(139);
    }
  });

  it('does not hold a tone, and neither the sum of two', async () => {
    const tone = (k: number) =>
      Array.from({ length: 64 }, (_, j) => Math.cos((2 * Math.PI * k * j) / 64 + 1));
    const given = { scope: 'a', bands: 11, permutations: 39 } as const;
    const { each, totals } = await spectraOfAdapter(signals([tone(4), tone(28)]), given);
    for (const [name, band] of [
      ['m0.a', 1],
      ['m1.a', 9],
    ] as const) {
      const { bands, noise } = each.get(name)!;
      for (const [i, share] of bands.entries()) {
        if (i === band) expect(share).toBeGreaterThan(noise!.bands[i][1]);
        else expect(share).toBeLessThan(noise!.bands[i][0]);
      }
    }
    expect(each.get('m0.a')!.below).toBeGreaterThan(each.get('m0.a')!.noise!.below[1]);
    expect(each.get('m1.a')!.below).toBeLessThan(each.get('m1.a')!.noise!.below[0]);
    const both = totals.get('A')!;
    expect(both.below).toBeCloseTo(0.5, 12);
    for (const band of [1, 9]) expect(both.bands[band]).toBeGreaterThan(both.noise!.bands[band][1]);
  });

  it('moves no power at frequency 0, and is 0 where there is none', async () => {
    const { each } = await spectraOfAdapter(signals([new Array(12).fill(1.5), new Array(12).fill(0)]), {
      scope: 'a',
      bands: 7,
      permutations: 39,
    });
    expect(each.get('m0.a')!.noise!.bands[0][0]).toBeCloseTo(1, 12);
    expect(each.get('m1.a')!.noise!.below).toEqual([0, 0]);
  });

  it('is the same twice, and is drawn as often as is asked', async () => {
    const adapters = someAdapter(reference);
    const of = async (permutations: number) =>
      (await spectraOfAdapter(adapters, { permutations })).each.get('m.0.up.b')!.noise!;
    expect(await of(79)).toEqual(await of(79));
    expect(await of(79)).not.toEqual(await of(39));
    expect((await spectraOfAdapter(adapters)).totals.get('A')!.noise).toBeNull();
    for (const wrong of [-1, 1, 40, 38.5, Number.NaN]) {
      await expect(of(wrong)).rejects.toThrow(ConfigError);
      await expect(of(wrong)).rejects.toThrow(`it is ${wrong}`);
    }
  });
});
