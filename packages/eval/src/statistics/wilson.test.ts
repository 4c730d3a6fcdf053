import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { wilsonInterval } from './wilson.ts';

/** The standard normal 97.5 % quantile; the last but one test integrates up to it. */
const z = 1.959963984540054;

const shares = fc
  .integer({ min: 1, max: 5000 })
  .chain((n) => fc.record({ n: fc.constant(n), c: fc.integer({ min: 0, max: n }) }));

describe("Wilson's interval", () => {
  test('ends where the share seen is z standard errors away', () => {
    fc.assert(
      fc.property(shares, ({ n, c }) => {
        for (const end of wilsonInterval(c, n)) {
          expect(Math.abs((c / n - end) ** 2 - (z ** 2 * end * (1 - end)) / n)).toBeLessThan(1e-12);
        }
      }),
    );
  });
  test('holds the share, lies within 0 and 1, and mirrors passes and failures', () => {
    fc.assert(
      fc.property(shares, ({ n, c }) => {
        const [low, high] = wilsonInterval(c, n);
        const [mirroredLow, mirroredHigh] = wilsonInterval(n - c, n);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(low).toBeLessThanOrEqual(c / n);
        expect(high).toBeGreaterThanOrEqual(c / n);
        expect(1 - mirroredHigh).toBeCloseTo(low, 12);
        expect(1 - mirroredLow).toBeCloseTo(high, 12);
      }),
    );
  });
  test('has its known values', () => {
    expect(wilsonInterval(5, 10).map((x) => x.toFixed(4))).toEqual(['0.2366', '0.7634']);
    expect(wilsonInterval(0, 10).map((x) => x.toFixed(4))).toEqual(['0.0000', '0.2775']);
    for (let n = 1; n <= 500; n++) {
      expect(wilsonInterval(0, n)[0]).toBe(0);
      expect(wilsonInterval(n, n)[1]).toBe(1);
    }
  });
  test('its z leaves 2.5 % beyond', () => {
    const steps = 2000;
    const width = z / steps;
    const density = (x: number) => Math.exp(-(x ** 2) / 2) / Math.sqrt(2 * Math.PI);
    let sum = density(0) + density(z);
    for (let i = 1; i < steps; i++) sum += (i % 2 === 0 ? 2 : 4) * density(i * width);
    expect(0.5 + (sum * width) / 3).toBeCloseTo(0.975, 12);
  });
  test.each([
    [-1, 10],
    [11, 10],
    [0, 0],
    [Number.NaN, 10],
    [1, Number.POSITIVE_INFINITY],
  ])('refuses %s of %s', (c, n) => {
    expect(() => wilsonInterval(c, n)).toThrow(RangeError);
  });
});
