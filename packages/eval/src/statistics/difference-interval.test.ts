import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { differenceInterval } from './difference-interval.ts';
import { mcnemarP } from './mcnemar.ts';
import { meanInterval } from './mean-interval.ts';

const share = fc.constantFrom(0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1);
const pairs = fc.array(fc.tuple(share, share), { minLength: 1, maxLength: 30 });
const split = (list: readonly (readonly [number, number])[]) =>
  [list.map(([a]) => a), list.map(([, b]) => b)] as const;

/** Problems that both pass, that b alone, that a alone, and that neither passes. */
function table([both, onlyB, onlyA, neither]: readonly number[]) {
  const passes = (value: readonly number[]) => [
    ...Array<number>(both).fill(1),
    ...Array<number>(onlyB).fill(value[0]),
    ...Array<number>(onlyA).fill(value[1]),
    ...Array<number>(neither).fill(0),
  ];
  return [passes([0, 1]), passes([1, 0])] as const;
}

describe('the interval of a difference', () => {
  test('has its known values', () => {
    const rounded = (a: readonly number[], b: readonly number[]) =>
      differenceInterval(a, b).map((end) => Number(end.toFixed(10)));
    expect(rounded(...table([4, 9, 0, 7]))).toEqual([0.1879704865, 0.628702347]);
    expect(rounded([0.1, 0.9, 0.5, 0, 1, 0.3], [0.2, 0.7, 0.5, 0.4, 1, 0.6])).toEqual([
      -0.0666404078, 0.2555875195,
    ]);
    expect(rounded(Array(9).fill(0.5), Array(9).fill(0.5))).toEqual([-0.148226509, 0.148226509]);
  });
  test('holds the difference, lies within −1 and 1, has a width, and turns round with its sides', () => {
    fc.assert(
      fc.property(pairs, (list) => {
        const [a, b] = split(list);
        const difference = list.reduce((sum, [x, y]) => sum + y - x, 0) / list.length;
        const [low, high] = differenceInterval(a, b);
        expect(low).toBeGreaterThanOrEqual(-1);
        expect(low).toBeLessThanOrEqual(difference + 1e-12);
        expect(high).toBeGreaterThanOrEqual(difference - 1e-12);
        expect(high).toBeLessThanOrEqual(1);
        expect(high - low).toBeGreaterThan(0.01);
        const [turnedLow, turnedHigh] = differenceInterval(b, a);
        expect(turnedLow).toBeCloseTo(-high, 12);
        expect(turnedHigh).toBeCloseTo(-low, 12);
      }),
    );
  });
  test('does not mind the order of problems', () => {
    fc.assert(
      fc.property(pairs, (list) => {
        const [one, other] = [list, [...list].reverse()].map((pairs) => differenceInterval(...split(pairs)));
        for (const i of [0, 1]) expect(other[i]).toBeCloseTo(one[i], 12);
      }),
    );
  });
  test('gains by pairing: it is narrower where the systems solve the same problems', () => {
    const width = ([low, high]: readonly number[]) => high - low;
    const alike = differenceInterval(...table([70, 10, 5, 79]));
    const unlike = differenceInterval(...table([5, 75, 70, 14]));
    expect(width(alike)).toBeLessThan(0.1);
    expect(width(unlike)).toBeGreaterThan(0.25);
  });
  test('is as wide as the normal approximation for many problems', () => {
    const a = Array.from({ length: 6000 }, (_, i) => (i % 5) / 4);
    const b = a.map((value, i) => (i % 3 === 0 ? value : ((i >> 2) % 5) / 4));
    const gains = a.map((value, i) => b[i] - value);
    const mean = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
    const squares = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0);
    const half = (1.96 * Math.sqrt(squares)) / gains.length;
    const [low, high] = differenceInterval(a, b);
    expect(low).toBeCloseTo(mean - half, 4);
    expect(high).toBeCloseTo(mean + half, 4);
  });
  test('is finite where two systems are nowhere more apart than by rounding', () => {
    const [low, high] = differenceInterval(Array(9).fill(0.3), Array(9).fill(0.1 + 0.2));
    expect(high).toBeGreaterThan(0.05);
    expect(low).toBeLessThan(-0.05);
  });
  test('shrinks to that of one system where the other always passes', () => {
    const a = [0, 0.2, 0.5, 0.5, 0.9, 1, 0, 0, 0.3, 0.4];
    const [low, high] = meanInterval(a);
    const [gapLow, gapHigh] = differenceInterval(a, Array(10).fill(1));
    expect(gapHigh).toBeLessThanOrEqual(1);
    expect(gapLow).toBeLessThan(1 - high + 0.05);
    expect(gapHigh).toBeGreaterThan(1 - low - 0.1);
  });
  test('excludes 0 wherever the exact test finds a difference, and in few tables more', () => {
    let [tables, more] = [0, 0];
    for (const n of [20, 50, 164]) {
      for (let discordant = 0; discordant <= Math.min(n, 40); discordant++) {
        for (let onlyA = 0; 2 * onlyA <= discordant; onlyA++) {
          for (const share of [0, 0.4, 1]) {
            const both = Math.round(share * (n - discordant));
            const onlyB = discordant - onlyA;
            const [low] = differenceInterval(...table([both, onlyB, onlyA, n - discordant - both]));
            const isFound = mcnemarP(onlyA, onlyB) <= 0.05;
            if (isFound) expect(low).toBeGreaterThan(0);
            tables++;
            if (low > 0 && !isFound) more++;
            if (low > 0) expect(mcnemarP(onlyA, onlyB)).toBeLessThan(0.13);
          }
        }
      }
    }
    expect(more / tables).toBeLessThan(0.05);
  });
  test.each([
    [[0.5], []],
    [[], []],
    [[0.5], [2]],
  ])('refuses %j and %j', (a, b) => {
    expect(() => differenceInterval(a, b)).toThrow(RangeError);
  });
});
