import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sameOutput } from './same-output.ts';

const word = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.constantFrom('Yes', 'NO', '007', '1e5', '.5', 'nan', '-'),
);
const lines = fc.array(fc.array(word, { minLength: 1 }), { maxLength: 5 });
const write = (output: string[][]): string => output.map((words) => `${words.join(' ')}\n`).join('');
const blank = fc.constantFrom('', ' ', '\t', '  ');

describe('output', () => {
  test('is the same as itself, however blanks and blank lines lie around it', () => {
    fc.assert(
      fc.property(
        lines,
        blank,
        blank,
        fc.constantFrom('\n', '\r\n', '\n \n\n'),
        (output, before, after, end) => {
          const spaced = output.map((words) => before + words.join(`${before} ${after}`) + after).join(end);
          expect(sameOutput(spaced, write(output))).toBe(true);
          expect(sameOutput(write(output), spaced)).toBe(true);
        },
      ),
    );
  });

  test('is another where a line or a word is missing, added or exchanged', () => {
    fc.assert(
      fc.property(lines, fc.nat(), (output, at) => {
        fc.pre(output.length > 0);
        const i = at % output.length;
        const shorter = output.toSpliced(i, 1);
        const longer = output.with(i, [...output[i], 'more']);
        const other = output.with(i, output[i].with(0, 'other'));
        for (const changed of [shorter, longer, other]) {
          expect(sameOutput(write(changed), write(output))).toBe(false);
          expect(sameOutput(write(output), write(changed))).toBe(false);
        }
      }),
    );
  });

  test('of whole numbers is the same only for equal texts', () => {
    fc.assert(
      fc.property(fc.bigInt(), fc.bigInt(), (a, b) => {
        expect(sameOutput(`${a}`, `${b}`)).toBe(a === b);
      }),
    );
  });

  test('of decimals is the same within 1e-8 + 1e-5 of the expected', () => {
    const expected = fc.double({ noNaN: true, min: 1e-3, max: 1e6 });
    fc.assert(
      fc.property(expected, fc.constantFrom(-1, 1), (e, sign) => {
        const margin = 1e-8 + 1e-5 * e;
        const text = e.toFixed(12);
        expect(sameOutput((e + sign * margin * 0.99).toFixed(12), text)).toBe(true);
        expect(sameOutput((e + sign * margin * 1.01).toFixed(12), text)).toBe(false);
      }),
    );
  });

  test.each([
    ['5.0', '5', true],
    ['5', '5.000001', true],
    ['1e-9', '0.0', true],
    ['+1.50', '1.5', true],
    ['.5', '0.5', true],
    ['5.', '5', true],
    ['123456788', '123456789', false],
    ['5', '05', false],
    ['-0', '0', false],
    ['yes', 'Yes', false],
    ['nan', 'nan', true],
    ['nan', '0.0', false],
    ['inf', '1e999', false],
    ['5.0', '1e999', false],
    ['1e998', '1e999', false],
    ['0x10', '16.0', false],
    ['1_0.0', '10.0', false],
    ['1 2', '1\n2', false],
    ['b a', 'a b', false],
    ['', '\n', true],
    ['', '0', false],
    ['1 2', '1 2 2', false],
  ])('%j for %j: %s', (actual, expected, same) => {
    expect(sameOutput(actual, expected)).toBe(same);
  });

  test('of millions of digits is compared at once', () => {
    const started = performance.now();
    expect(sameOutput(`${'1'.repeat(4_000_000)}x`, '1.5')).toBe(false);
    expect(sameOutput(`${'1'.repeat(4_000_000)}.`, '1.5')).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
