import { stripVTControlCharacters } from 'node:util';
import { type JudgedProblem, score } from '@flex/eval';
import { expect, test } from 'vitest';
import { scoreTable } from './score-table.ts';

/** The rows of a score's table, without its lines. */
function rowsOf(problems: readonly JudgedProblem[], k: readonly number[]): string[] {
  const table = scoreTable(score(problems, { n: null, k, incomplete: 'fail' }));
  const cells = (line: string) => line.split('│').map((cell) => cell.trim());
  return stripVTControlCharacters(table)
    .split('\n')
    .filter((line) => line.startsWith('│'))
    .map((line) => cells(line).filter(Boolean).join(' | '));
}

const samples = (word: string): JudgedProblem['samples'] =>
  [...word].map((mark) =>
    mark === '+'
      ? { verdict: 'passed', failure: null, assurance: 'isolated' }
      : { verdict: 'compile_error', failure: 'compile', assurance: 'in-process' },
  );

test('a table of a score has every k with its interval, and counts', () => {
  const problems = ['++', '+-', '--', '--'].map((word, i) => ({
    id: `P${i}`,
    language: 'py' as const,
    samples: samples(word),
  }));
  const rows = rowsOf(problems, [2]);
  expect(rows[0]).toMatch(/^pass@1 \| 37\.50 % {2}\(95 %: \d+\.\d\d % to \d+\.\d\d %\)$/);
  expect(rows[1]).toBe('pass@2 | 50.00 %  (95 %: 15.00 % to 85.00 %)');
  expect(rows.slice(2)).toEqual([
    'problems | 4',
    'samples a problem | 2',
    'passed | 3',
    'compile error | 5',
    'in-process | 5',
  ]);
});

test('a table of a score has each language where there are several', () => {
  const problems = (['py', 'java', 'py'] as const).map((language, i) => ({
    id: `P${i}`,
    language,
    samples: samples(i === 0 ? '-+' : '--'),
  }));
  const passes = rowsOf(problems, [1, 2]).filter((row) => row.startsWith('pass@'));
  expect(passes.map((row) => row.replace(/ {2}\(.*/, ''))).toEqual([
    'pass@1 | 16.67 %',
    'pass@2 | 33.33 %',
    'pass@1 py (2) | 25.00 %',
    'pass@2 py (2) | 50.00 %',
    'pass@1 java (1) | 0.00 %',
    'pass@2 java (1) | 0.00 %',
  ]);
});
