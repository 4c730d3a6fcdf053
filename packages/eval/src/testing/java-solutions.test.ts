import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { describeShared, shared } from '@flex/fixtures';
import { describe, expect, test } from 'vitest';
import { readJavaSolutions, readSabotages } from './java-solutions.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/java-solutions');
const published = 'data/multipl-e/humaneval-java.jsonl';

describe('the Java solutions', () => {
  const solutions = readJavaSolutions();
  test('are at least 45, of different problems', () => {
    expect(solutions.length).toBeGreaterThanOrEqual(45);
    expect(new Set(solutions.map(({ problem }) => problem)).size).toBe(solutions.length);
  });
  test('are all sabotaged, in one or two ways', () => {
    const counts = new Map(solutions.map(({ problem }) => [problem, 0]));
    for (const { problem } of readSabotages()) counts.set(problem, (counts.get(problem) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count < 1 || count > 2)).toEqual([]);
    expect(new Set(readSabotages().map((sabotage) => JSON.stringify(sabotage))).size).toBe(
      readSabotages().length,
    );
  });
  describeShared(published, `${solutions.length} of them`, () => {
    test('answer published problems', () => {
      const rows = readFileSync(shared(published), 'utf8').trim().split('\n');
      const names = new Set(rows.map((row) => JSON.parse(row).name));
      expect(solutions.filter(({ problem }) => !names.has(problem))).toEqual([]);
    });
  });
});

/** A copy of the fixtures in which one file is changed. */
function withChange(file: string, change: (content: string) => string): string {
  const copy = temporaryFolder();
  cpSync(fixtures, copy, { recursive: true });
  writeFileSync(join(copy, file), change(readFileSync(join(copy, file), 'utf8')));
  return copy;
}

describe('sabotages are refused', () => {
  test.each<[string, (first: Record<string, unknown>) => unknown, RegExp]>([
    ['that change nothing', (s) => Object.assign(s, { replace: s.find }), /and change/],
    ['that find nothing', (s) => Object.assign(s, { find: 'nowhere' }), /must occur once/],
    ['that find two places', (s) => Object.assign(s, { find: 'n' }), /must occur once/],
    ['that find the empty text', (s) => Object.assign(s, { find: '' }), /must occur once/],
    ['of no solution', (s) => Object.assign(s, { problem: 'HumanEval_0' }), /no solution of HumanEval_0/],
    ['with an unknown member', (s) => Object.assign(s, { note: '' }), /Unrecognized key/],
    ['without a replacement', (s) => delete s.replace, /expected string/],
  ])('%s', (_, change, message) => {
    const folder = withChange('sabotages.json', (content) => {
      const list = JSON.parse(content);
      change(list[0]);
      return JSON.stringify(list);
    });
    expect(() => readSabotages(folder)).toThrow(DataError);
    expect(() => readSabotages(folder)).toThrow(message);
  });
});

describe('solutions are refused', () => {
  test.each([
    ['that are empty', 'HumanEval_1_separate_paren_groups.java', () => '\n'],
    ['that close their method', 'HumanEval_1_separate_paren_groups.java', (c: string) => `${c}    }\n`],
  ])('%s', (_, file, change) => {
    const folder = withChange(file, change);
    expect(() => readJavaSolutions(folder)).toThrow(/must be a completion/);
  });
  test('under other names', () => {
    const folder = withChange('sabotages.json', (content) => content);
    writeFileSync(join(folder, 'Notes.java'), '        return 1;\n');
    expect(() => readJavaSolutions(folder)).toThrow(/must be named/);
  });
});
