import fc from 'fast-check';
import { expect, it } from 'vitest';
import { logitAgreement } from './logit-agreement.ts';

const row = (v: number) =>
  fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: v, maxLength: v });

it('KL of two coins is what a table has', () => {
  const logits = (p: number) => Float32Array.of(Math.log(p), Math.log(1 - p));
  const { klMean, klMax, sameGreedy, positions } = logitAgreement(
    [logits(0.5), logits(0.9)],
    [logits(0.25), logits(0.9)],
    2,
  );
  const expected = 0.5 * Math.log(2) + 0.5 * Math.log(2 / 3);
  expect(klMax).toBeCloseTo(expected, 6);
  expect(klMean).toBeCloseTo(expected / 2, 6);
  expect([sameGreedy, positions]).toEqual([0.5, 2]);
});

it('is nothing for equal logits and for logits that differ by a constant, and never below 0', () => {
  fc.assert(
    fc.property(row(6), row(6), (p, q) => {
      const [a, b] = [Float32Array.from(p), Float32Array.from(q)];
      expect(logitAgreement([a], [a], 3)).toEqual({ positions: 2, klMean: 0, klMax: 0, sameGreedy: 1 });
      const shifted = logitAgreement([a], [Float32Array.from(p, (x) => x + 8)], 3);
      expect(shifted.klMax).toBeLessThan(1e-6);
      expect(logitAgreement([a], [b], 3).klMax).toBeGreaterThanOrEqual(0);
    }),
  );
});

it('is the sum of its definition, from exponentials', () => {
  fc.assert(
    fc.property(row(5), row(5), (p, q) => {
      const softmax = (x: readonly number[]) => {
        const e = x.map(Math.exp);
        const total = e.reduce((sum, y) => sum + y);
        return e.map((y) => y / total);
      };
      const [ps, qs] = [softmax(p), softmax(q)];
      const kl = ps.reduce((sum, x, i) => sum + x * Math.log(x / qs[i]), 0);
      const found = logitAgreement([Float32Array.from(p)], [Float32Array.from(q)], 5);
      expect(found.klMean).toBeCloseTo(kl, 9);
      const top = (x: readonly number[]) => x.indexOf(Math.max(...x));
      expect(found.sameGreedy).toBe(top(p) === top(q) ? 1 : 0);
    }),
  );
});
