import { ConfigError } from '@flex/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { passAtK } from './pass-at-k.ts';
import { type JudgedProblem, passInterval, type ScoredRow, sampleCounts, score } from './score.ts';
import { meanInterval } from './statistics/mean-interval.ts';
import { wilsonInterval } from './statistics/wilson.ts';

const pass: ScoredRow = { verdict: 'passed', failure: null, assurance: 'isolated' };
const fail: ScoredRow = { verdict: 'failed', failure: 'assertion', assurance: 'isolated' };
const slow: ScoredRow = { verdict: 'timeout', failure: 'never-stopped', assurance: 'in-process' };
const missing: ScoredRow = { verdict: 'missing', failure: 'missing', assurance: null };

/** Problems from marks: `+` a pass, `-` a fail, `t` a timeout, `?` missing. */
function problems(...marks: string[]): JudgedProblem[] {
  const samples: Record<string, ScoredRow> = { '+': pass, '-': fail, t: slow, '?': missing };
  return marks.map((word, i) => ({
    id: `P/${i}`,
    language: 'py',
    samples: [...word].map((c) => samples[c]),
  }));
}

const failing = { n: null, k: [], incomplete: 'fail' } as const;
const dropping = { n: null, k: [], incomplete: 'drop' } as const;

const marked = fc.array(fc.string({ unit: fc.constantFrom('+', '-', 't'), maxLength: 6 }), {
  minLength: 1,
  maxLength: 12,
});
const withSamples = marked.filter((words) => words.some((word) => word !== ''));

describe('the score', () => {
  test('of one sample a problem is the share that passed, with its interval', () => {
    const result = score(problems('+', '-', 't', '+'), failing);
    expect(result['pass@1']).toBe(0.5);
    expect(result).toMatchObject({ n: 4, samples_per_problem: 1, dropped: 0, incomplete: 'fail' });
    expect(result.ci95).toEqual(wilsonInterval(2, 4));
    expect(result.counts).toEqual({
      passed: 2,
      failed: 1,
      compile_error: 0,
      timeout: 1,
      memory: 0,
      output_limit: 0,
      blocked: 0,
      missing: 0,
    });
    expect(result.failures).toMatchObject({ assertion: 1, 'never-stopped': 1, exception: 0, missing: 0 });
    expect(result.assurance).toEqual({ isolated: 3, 'in-process': 1 });
  });
  test('is the mean over problems of the unbiased estimate, for every k asked and 1', () => {
    const result = score(problems('+---', '++--', '----', '++++'), { ...failing, k: [4, 2, 2] });
    expect(Object.keys(result).filter((key) => key.startsWith('pass@'))).toEqual([
      'pass@1',
      'pass@2',
      'pass@4',
    ]);
    for (const k of [1, 2, 4] as const) {
      const mean = (passAtK(4, 1, k) + passAtK(4, 2, k) + 0 + 1) / 4;
      expect(result[`pass@${k}`]).toBeCloseTo(mean, 12);
    }
    expect(result['pass@2']).toBeCloseTo((0.5 + 5 / 6 + 0 + 1) / 4, 12);
  });
  test('counts a missing sample as failed', () => {
    const result = score(problems('++', '+', ''), failing);
    expect(result['pass@1']).toBe(0.5);
    expect(result.n).toBe(3);
    expect(result.counts.missing).toBe(3);
    expect(result.failures.missing).toBe(3);
  });
  test('counts every sample below the number asked for as missing', () => {
    const result = score(problems('++', '-'), { ...failing, n: 4, k: [4] });
    expect(result['pass@1']).toBe(0.25);
    expect(result['pass@4']).toBe(0.5);
    expect(result.counts.missing).toBe(5);
    expect(result.samples_per_problem).toBe(4);
  });
  test('with drop scores each problem by its own samples, and leaves out those without', () => {
    const result = score(problems('+-', '+', ''), dropping);
    expect(result['pass@1']).toBe(0.75);
    expect(result).toMatchObject({ n: 2, dropped: 1, incomplete: 'drop', samples_per_problem: 2 });
    expect(result.counts.missing).toBe(3);
    expect(score(problems('+', '-', ''), dropping).ci95).toEqual(wilsonInterval(1, 2));
  });
  test('with drop leaves out problems with fewer samples than the largest k', () => {
    expect(score(problems('+-', '+', ''), { ...dropping, k: [1, 2] })).toMatchObject({
      ...{ 'pass@1': 0.5, 'pass@2': 1, n: 1, dropped: 2 },
    });
  });
  test('is told by language, in a fixed order', () => {
    const [java, python, other, none] = problems('+', '-', '+', '');
    const list = [
      { ...java, language: 'java' as const },
      python,
      other,
      { ...none, language: 'go' as const },
    ];
    const all = score(list, failing);
    expect(JSON.stringify(all.languages)).toBe(
      JSON.stringify({
        py: { 'pass@1': 0.5, n: 2, intervals: { 'pass@1': wilsonInterval(1, 2) } },
        java: { 'pass@1': 1, n: 1, intervals: { 'pass@1': wilsonInterval(1, 1) } },
        go: { 'pass@1': 0, n: 1, intervals: { 'pass@1': wilsonInterval(0, 1) } },
      }),
    );
    expect(Object.keys(score(list, dropping).languages)).toEqual(['py', 'java']);
  });
  test('counts every expected sample once by verdict', () => {
    fc.assert(
      fc.property(withSamples, fc.constantFrom(failing, dropping), (words, options) => {
        const result = score(problems(...words), options);
        const sum = (counts: Readonly<Record<string, number>>) =>
          Object.values(counts).reduce((total, count) => total + count, 0);
        expect(sum(result.counts)).toBe(words.length * result.samples_per_problem);
        expect(sum(result.failures)).toBe(sum(result.counts) - result.counts.passed);
        expect(sum(result.assurance)).toBe(sum(result.counts) - result.counts.missing);
        expect(result.n + result.dropped).toBe(words.length);
      }),
    );
  });
  test('is the same where missing samples are named and where they are absent', () => {
    fc.assert(
      fc.property(withSamples, fc.constantFrom(failing, dropping), (words, options) => {
        const longest = Math.max(...words.map((word) => word.length));
        const named = words.map((word) => word.padEnd(longest, '?'));
        expect(score(problems(...named), options)).toEqual(score(problems(...words), options));
      }),
      { numRuns: 25 },
    );
  });
  test('with drop is never below that with fail', () => {
    fc.assert(
      fc.property(withSamples, (words) => {
        const list = problems(...words);
        expect(score(list, dropping)['pass@1']).toBeGreaterThanOrEqual(
          score(list, failing)['pass@1'] - 1e-12,
        );
      }),
      { numRuns: 25 },
    );
  });
});

describe('the intervals', () => {
  test("are there for every k, for all problems and each language, each that of its problems' values", () => {
    const list = problems('++--', '+---', '----', '+++-');
    const { intervals, ci95, languages } = score(
      list.map((problem, i) => ({ ...problem, language: i < 3 ? 'py' : 'java' })),
      { ...failing, k: [2, 4] },
    );
    expect(Object.keys(intervals)).toEqual(['pass@1', 'pass@2', 'pass@4']);
    expect(ci95).toEqual(intervals['pass@1']);
    for (const k of [1, 2, 4] as const) {
      const values = [2, 1, 0, 3].map((c) => passAtK(4, c, k));
      expect(intervals[`pass@${k}`]).toEqual(meanInterval(values));
      expect(languages.py?.intervals[`pass@${k}`]).toEqual(meanInterval(values.slice(0, 3)));
      expect(languages.java).toMatchObject({ n: 1, [`pass@${k}`]: values[3] });
    }
  });
  test("are Wilson's for k of k samples, which make a problem passed or not", () => {
    expect(
      passInterval(
        [5, 0, 1, 0].map((c) => ({ n: 5, c })),
        5,
      ),
    ).toEqual(wilsonInterval(2, 4));
    expect(passInterval(Array(10).fill({ n: 5, c: 0 }), 3)).toEqual(wilsonInterval(0, 10));
  });
  test('hold their shares and lie within 0 and 1', () => {
    fc.assert(
      fc.property(withSamples, (words) => {
        const longest = Math.max(...words.map((word) => word.length));
        const result = score(problems(...words), { ...failing, k: [longest] });
        for (const key of ['pass@1', `pass@${longest}`] as const) {
          const [low, high] = result.intervals[key];
          expect(low).toBeGreaterThanOrEqual(0);
          expect(low).toBeLessThanOrEqual(result[key] + 1e-12);
          expect(high).toBeGreaterThanOrEqual(result[key] - 1e-12);
          expect(high).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 25 },
    );
  });
});

describe('counts by problem', () => {
  test('have the expected n, or their own, or none', () => {
    const list = problems('+-+', '+', '');
    expect(sampleCounts(list, failing)).toEqual([
      { n: 3, c: 2 },
      { n: 3, c: 1 },
      { n: 3, c: 0 },
    ]);
    expect(sampleCounts(list, dropping)).toEqual([{ n: 3, c: 2 }, { n: 1, c: 1 }, null]);
  });
});

describe('refused with a line that says why', () => {
  const cases: [string, () => unknown, RegExp][] = [
    ['no problems', () => score([], failing), /no problems/],
    ['not one sample', () => score(problems('', '?'), failing), /not one sample/],
    ['drop with nothing left', () => score(problems('', '?'), { ...dropping, n: 2 }), /no problem is left/],
    ['more samples than asked for', () => score(problems('+', '++-'), { ...failing, n: 2 }), /P\/1.*2.*3/],
    ['k beyond the samples', () => score(problems('++'), { ...failing, k: [3] }), /pass@3.*P\/0 has 2/],
    ['k of 0', () => score(problems('+'), { ...failing, k: [0] }), /whole number from 1, got 0/],
    ['k of 1.5', () => score(problems('++'), { ...failing, k: [1.5] }), /got 1.5/],
    ['n of 0', () => score(problems('+'), { ...failing, n: 0 }), /got 0/],
    ['n of 2.5', () => score(problems('+'), { ...failing, n: 2.5 }), /got 2.5/],
  ];
  test.each(cases)('%s', (_, run, message) => {
    expect(run).toThrow(ConfigError);
    expect(run).toThrow(message);
  });
  test('but with n and no samples all are missing', () => {
    expect(score(problems('', ''), { ...failing, n: 3 })).toMatchObject({
      'pass@1': 0,
      counts: { missing: 6 },
    });
  });
});
