import { expect, test } from 'vitest';
import { nearest } from './nearest.ts';

test.each([
  ['humanevl', 'humaneval'],
  ['HumanEval', 'humaneval'],
  ['mbbp', 'mbpp'],
  ['completoin', 'completion'],
  ['numpy', undefined],
  ['', undefined],
])('%j is nearest to %s', (word, expected) => {
  expect(nearest(word, ['humaneval', 'mbpp', 'apps', 'completion'])).toBe(expected);
});

test('a tie goes to the first', () => {
  expect(nearest('ac', ['ab', 'ad'])).toBe('ab');
  expect(nearest('x', [])).toBeUndefined();
});
