import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { meanInterval } from './mean-interval.ts';
import { wilsonInterval } from './wilson.ts';

const values = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 40 });

describe('the interval of a mean', () => {
  test("of zeros and ones is Wilson's, bit by bit", () => {
    const shares = fc
      .integer({ min: 1, max: 600 })
      .chain((n) => fc.record({ n: fc.constant(n), c: fc.integer({ min: 0, max: n }) }));
    fc.assert(
      fc.property(shares, ({ n, c }) => {
        const passes = Array.from({ length: n }, (_, i) => (i < c ? 1 : 0));
        expect(meanInterval(passes)).toEqual(wilsonInterval(c, n));
      }),
    );
  });
  test('has its known values', () => {
    const rounded = (list: number[]) => meanInterval(list).map((end) => Number(end.toFixed(10)));
    expect(rounded([0.1, 0.9, 0.5, 0, 1, 0.3])).toEqual([0.2122502471, 0.7396887949]);
    expect(rounded(Array(20).fill(0.5))).toEqual([0.4658574249, 0.5341425751]);
    expect(rounded(Array(100).fill(0.01))).toEqual([0.004295794, 0.0231028392]);
    expect(rounded(Array(10).fill(0))).toEqual([0, 0.2775327999]);
  });
  test('holds the mean, lies within 0 and 1, has a width, and mirrors passes and failures', () => {
    fc.assert(
      fc.property(values, (list) => {
        const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
        const [low, high] = meanInterval(list);
        const [mirroredLow, mirroredHigh] = meanInterval(list.map((value) => 1 - value));
        expect(low).toBeGreaterThanOrEqual(0);
        expect(low).toBeLessThanOrEqual(mean + 1e-12);
        expect(high).toBeGreaterThanOrEqual(mean - 1e-12);
        expect(high).toBeLessThanOrEqual(1);
        expect(high - low).toBeGreaterThan(0.01);
        expect(1 - mirroredHigh).toBeCloseTo(low, 9);
        expect(1 - mirroredLow).toBeCloseTo(high, 9);
      }),
    );
  });
  test('is at most as wide as that of zeros and ones with the same mean', () => {
    fc.assert(
      fc.property(values, (list) => {
        const [low, high] = meanInterval(list);
        const [widerLow, widerHigh] = wilsonInterval(
          list.reduce((sum, value) => sum + value, 0),
          list.length,
        );
        expect(high - low).toBeLessThanOrEqual(widerHigh - widerLow + 1e-12);
      }),
    );
  });
  test('is as wide as the normal approximation for many values', () => {
    const list = Array.from({ length: 4000 }, (_, i) => (i % 5) / 4);
    const [low, high] = meanInterval(list);
    const half = 1.96 * Math.sqrt(0.125 / 4000);
    expect(low).toBeCloseTo(0.5 - half, 4);
    expect(high).toBeCloseTo(0.5 + half, 4);
  });
  test.each([[[]], [[0.5, 1.1]], [[-1e-9]], [[Number.NaN]]])('refuses %j', (list) => {
    expect(() => meanInterval(list)).toThrow(RangeError);
  });
});
