import fc from 'fast-check';
import { expect, it } from 'vitest';
import { dot } from './jacobi.ts';
import { type HostMatrix, type LeadingSvd, leadingSvd, normalize } from './leading-svd.ts';

/** Vectors of norm 1 that are orthogonal to each other. */
function orthonormal(length: number, count: number, seed: number): Float64Array[] {
  const basis: Float64Array[] = [];
  for (let k = 0; k < count; k++) {
    const x = Float64Array.from({ length }, (_, i) => Math.sin(7.3 * seed + 1.7 * i * (k + 1) + k));
    normalize(x, basis, k);
    basis.push(x);
  }
  return basis;
}

/** Σ σᵢ·uᵢ·vᵢᵀ, rounded to f32. */
function compose({ sigma, u, v }: LeadingSvd, rows: number, columns: number): HostMatrix {
  const cell = (i: number, j: number) => u.reduce((sum, x, k) => sum + sigma[k] * x[i] * v[k][j], 0);
  const data = Float32Array.from({ length: rows * columns }, (_, i) =>
    cell(Math.floor(i / columns), i % columns),
  );
  return { data, rows, columns };
}

const size = fc.integer({ min: 1, max: 40 });
/** Also such as come twice, and zero. */
const value = fc.constantFrom(0, 0.25, 0.25, 1, 1.5, 2, 7);

it('finds the largest singular values, and vectors that are orthonormal and fit', () => {
  const matrices = fc.record({
    rows: size,
    columns: size,
    values: fc.array(value, { minLength: 40, maxLength: 40 }),
  });
  fc.assert(
    fc.property(matrices, fc.nat(39), ({ rows, columns, values }, more) => {
      const full = Math.min(rows, columns);
      const count = 1 + (more % full);
      const sigma = Float64Array.from(values.slice(0, full)).sort().reverse();
      const parts = { sigma, u: orthonormal(rows, full, 1), v: orthonormal(columns, full, 2) };
      const matrix = compose(parts, rows, columns);
      const found = leadingSvd(matrix, count);
      for (let i = 0; i < count; i++) {
        // The matrix itself is rounded to f32.
        expect(Math.abs(found.sigma[i] - sigma[i])).toBeLessThan(1e-5);
        // Those of a singular value of zero are arbitrary, or zero.
        if (found.sigma[i] < 1e-5) continue;
        for (let j = 0; j <= i; j++) {
          const expected = Number(i === j);
          expect(Math.abs(dot(found.v[i], found.v[j]) - expected)).toBeLessThan(1e-9);
          expect(Math.abs(dot(found.u[i], found.u[j]) - expected)).toBeLessThan(1e-9);
        }
      }
      if (count < full) return;
      const again = compose(found, rows, columns);
      for (const [i, x] of again.data.entries()) expect(Math.abs(x - matrix.data[i])).toBeLessThan(1e-5);
    }),
  );
});

it('stops long before the bases are whole where the spectrum decays, and is the same each time', () => {
  const [rows, columns] = [300, 500];
  const sigma = Float64Array.from({ length: 300 }, (_, i) => 1 / (1 + i));
  const parts = { sigma, u: orthonormal(rows, 300, 3), v: orthonormal(columns, 300, 4) };
  const matrix = compose(parts, rows, columns);
  const found = leadingSvd(matrix, 4);
  for (let i = 0; i < 4; i++) {
    expect(found.sigma[i]).toBeCloseTo(sigma[i], 6);
    expect(Math.abs(dot(found.u[i], parts.u[i]))).toBeCloseTo(1, 9);
  }
  expect(leadingSvd(matrix, 4)).toEqual(found);
});
