import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newCurve } from './curve.ts';

const values = fc.array(fc.option(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { freq: 20 }), {
  maxLength: 300,
});

test('a point is of `width` successive values: their mean, least and greatest, null where one is not finite', () => {
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 8 }), (list, half) => {
      const capacity = 2 * half;
      const curve = newCurve(capacity);
      for (const [i, value] of list.entries()) curve.add(10 + i, value);
      const { width, count } = curve;
      expect(count).toBe(list.length);
      expect(Math.log2(width) % 1).toBe(0);
      const { x, y, low = y, high = y } = curve.points(0);
      expect(x).toHaveLength(Math.ceil(list.length / width));
      expect(x.length).toBeLessThanOrEqual(capacity);
      // As few values a point as fit.
      if (width > 1) expect(list.length).toBeGreaterThan((capacity * width) / 2);
      for (const [i, at] of x.entries()) {
        const own = list.slice(i * width, (i + 1) * width);
        const steps = own.map((_, j) => 10 + i * width + j);
        expect(at).toBeCloseTo(meanOf(steps), 9);
        if (own.includes(null)) {
          expect([y[i], low[i], high[i]]).toEqual([null, null, null]);
          continue;
        }
        const numbers = own as number[];
        const size = Math.max(1, ...numbers.map(Math.abs));
        for (const [told, real] of [
          [y[i]!, meanOf(numbers)],
          [low[i]!, Math.min(...numbers)],
          [high[i]!, Math.max(...numbers)],
        ])
          expect(Math.abs(told - real)).toBeLessThanOrEqual(1e-5 * size);
      }
    }),
  );
});

test('points from a place on are the last of all points', () => {
  fc.assert(
    fc.property(values, fc.nat(20), (list, from) => {
      const curve = newCurve(16);
      for (const [i, value] of list.entries()) curve.add(i, value);
      const all = curve.points(0);
      const last = curve.points(from);
      for (const key of ['x', 'y', 'low', 'high'] as const) expect(last[key]).toEqual(all[key]?.slice(from));
    }),
  );
});

test('a peak of one update among ten thousand is in the greatest', () => {
  const curve = newCurve(256);
  for (let step = 1; step <= 10_000; step++) curve.add(step, step === 7777 ? 50 : 1);
  const { high = [], y } = curve.points(0);
  expect(Math.max(...high.map(Number))).toBe(50);
  expect(Math.max(...y.map(Number))).toBeCloseTo(1 + 49 / curve.width, 3);
});

const meanOf = (numbers: readonly number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
