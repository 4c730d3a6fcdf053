import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromHalfBits, toHalfBits } from './half.ts';

const patterns = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
const values = fromHalfBits(patterns);
const infinity = 0x7c00;

/**
 * x to the nearest multiple of the spacing of f16 at x, ties to the even multiple; infinite from 65,520 on.
 */
function nearestHalf(x: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(x))));
  const spacing = 2 ** (exponent - 10);
  const units = Math.abs(x) / spacing;
  const below = Math.floor(units);
  const rest = units - below;
  const rounded = (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below) * spacing;
  return Math.sign(x) * (rounded >= 65536 ? Number.POSITIVE_INFINITY : rounded);
}

test('every f16 pattern survives f32 and back; a NaN stays a NaN', () => {
  const back = toHalfBits(values);
  for (const bits of patterns) {
    const isNotANumber = (bits & infinity) === infinity && (bits & 0x3ff) !== 0;
    if (isNotANumber) expect((back[bits] & infinity) === infinity && (back[bits] & 0x3ff) !== 0).toBe(true);
    else if (back[bits] !== bits) expect.fail(`${bits.toString(16)} came back as ${back[bits].toString(16)}`);
  }
});

test('known patterns have their values', () => {
  const known = [0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3555, 0x3c00, 0xc000, 0x7bff, 0x7c00, 0xfc00];
  const want = [
    0,
    -0,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    0.333251953125,
    1,
    -2,
    65504,
    Infinity,
    -Infinity,
  ];
  expect([...fromHalfBits(Uint16Array.from(known))]).toEqual(want);
});

test('between two neighbours the nearer one is taken, and halfway the even one', () => {
  for (let bits = 0; bits < infinity - 1; bits++) {
    const middle = (values[bits] + values[bits + 1]) / 2;
    const gap = values[bits + 1] - values[bits];
    const [below, at, above] = toHalfBits([middle - gap / 512, middle, middle + gap / 512]);
    const even = bits + (bits & 1);
    if (below !== bits || at !== even || above !== bits + 1)
      expect.fail(`around ${middle}: ${below}, ${at}, ${above}`);
  }
});

test('random numbers of f32 go to the nearest f16', () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true, min: -131072, max: 131072 }), (x) => {
      expect(fromHalfBits(toHalfBits([x]))[0]).toBe(x === 0 ? x : nearestHalf(x) || Math.sign(x) * 0);
    }),
    { numRuns: 2000 },
  );
});
