import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { studentQuantile, studentTail } from './student-t.ts';

const dfs = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 13, max: 20_000 }));

describe("Student's distribution", () => {
  test.each([
    [1, 1, 0.5],
    [4.302652729911275, 2, 0.04999999999651663],
    [30, 2, 0.001109262681959659],
    [50, 15, 4.211694624617904e-18],
    [0.01, 500, 0.9920252759930329],
    [2, 89, 0.04854900686848289],
    [3, 10_000, 0.002706448189997666],
    [5, 4999, 5.928987182421399e-7],
  ])('beyond ±%d with %i degrees of freedom lies what SciPy 1.17 says, %d', (t, df, tail) => {
    expect(studentTail(t, df) / tail).toBeCloseTo(1, 11);
  });
  test('has all of it beyond 0, nothing beyond infinity, and the less the farther', () => {
    fc.assert(
      fc.property(dfs, fc.double({ min: 0, max: 30, noNaN: true }), (df, t) => {
        expect(studentTail(0, df)).toBe(1);
        expect(studentTail(Number.POSITIVE_INFINITY, df)).toBe(0);
        expect(studentTail(t + 0.01, df)).toBeLessThan(studentTail(t, df));
      }),
    );
  });
  test('is arctan and square root with 1 and 2 degrees of freedom', () => {
    for (const t of [1e-6, 0.3, 1, 7, 1e3]) {
      expect(studentTail(t, 1)).toBeCloseTo(1 - (2 / Math.PI) * Math.atan(t), 13);
      expect(studentTail(t, 2)).toBeCloseTo(1 - t / Math.sqrt(t ** 2 + 2), 13);
    }
  });
  test('quantiles are its inverse, however small the tail', () => {
    const exponent = fc.double({ min: -30, max: 0, noNaN: true });
    fc.assert(
      fc.property(dfs, exponent, (df, power) => {
        const tail = 10 ** power;
        expect(studentTail(studentQuantile(tail, df), df) / tail).toBeCloseTo(1, 9);
      }),
    );
    expect(studentQuantile(1, 3)).toBe(0);
  });
  test('refuses what it has no answer for', () => {
    for (const [t, df] of [
      [-1, 2],
      [Number.NaN, 2],
      [1, 0],
      [1, 2.5],
      [1, Number.POSITIVE_INFINITY],
    ]) {
      expect(() => studentTail(t, df)).toThrow(RangeError);
    }
    for (const tail of [0, -0.1, 1.1, Number.NaN]) expect(() => studentQuantile(tail, 2)).toThrow(RangeError);
  });
});
