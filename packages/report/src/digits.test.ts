import fc from 'fast-check';
import { expect, test } from 'vitest';
import { differenceText, estimateText, probabilityText, significant } from './digits.ts';

test.each([
  [{ value: 1.81222, ci95: [1.79937, 1.82513] }, 'nats', '1.812 [1.799, 1.825]'],
  [{ value: 1.81222, ci95: null }, 'nats', '1.8122'],
  [{ value: 0.341463, ci95: [0.2737, 0.4168] }, 'share', '34.1 % [27.4, 41.7]'],
  [{ value: 0.25, ci95: [0.0456, 0.6994] }, 'share', '25 % [5, 70]'],
  [{ value: 1.5, ci95: [1.5, 1.5] }, 'nats', '1.5000 [1.5000, 1.5000]'],
  [{ value: 3, ci95: [-40, 46] }, 'nats', '3 [−40, 46]'],
] as const)('%j in %s is %s', (estimate, unit, text) => expect(estimateText(estimate, unit)).toBe(text));

test.each([
  [{ value: -0.01234, ci95: [-0.0297, 0.00504] }, 'nats', '−0.012 [−0.030, +0.005]'],
  [{ value: 0.5, ci95: [-0.4, 0.91] }, 'share', '+50 points [−40, +91]'],
  [{ value: -0.00001, ci95: [-0.3, 0.3] }, 'nats', '0.00 [−0.30, +0.30]'],
  [{ value: 0.042, ci95: null }, 'share', '+4.2 points'],
] as const)('the difference %j in %s is %s', (estimate, unit, text) =>
  expect(differenceText(estimate, unit)).toBe(text),
);

test('what an estimate shows is as near as half of a tenth of its interval', () => {
  const number = fc.double({ min: -5, max: 5, noNaN: true });
  const width = fc.double({ min: 1e-3, max: 10, noNaN: true });
  fc.assert(
    fc.property(number, width, (value, half) => {
      const shown = estimateText({ value, ci95: [value - half, value + half] }, 'nats');
      const read = shown
        .replaceAll('−', '-')
        .match(/-?[\d.]+/g)!
        .map(Number);
      [value, value - half, value + half].forEach((real, i) => {
        expect(Math.abs(read[i] - real)).toBeLessThanOrEqual(Math.max(half / 10, 1e-6) / 2 + 1e-9);
      });
    }),
  );
});

test.each([
  [null, '–'],
  [0, '< 0.0001'],
  [0.00312, '0.0031'],
  [0.5, '0.50'],
  [1, '1.00'],
])('p = %s is %s', (p, text) => expect(probabilityText(p)).toBe(text));

test.each([
  [0, '0'],
  [208794, '208800'],
  [-1.40855, '−1.409'],
  [0.00001234, '1.234e−5'],
  [2e9, '2.000e+9'],
])('%s with four digits is %s', (value, text) => expect(significant(value)).toBe(text));
