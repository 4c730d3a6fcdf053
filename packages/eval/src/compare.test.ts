import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CompareOptions, type Comparison, compare, protocolDifferences } from './compare.ts';
import { passDifference } from './pass-difference.ts';
import { readResults } from './read-results.ts';
import { protocolHash } from './results.ts';
import { detectableByMcnemar, detectableByMeans } from './statistics/detectable.ts';
import { differenceInterval } from './statistics/difference-interval.ts';
import { mcnemarP } from './statistics/mcnemar.ts';
import { signFlipP } from './statistics/sign-flip.ts';
import { wilsonInterval } from './statistics/wilson.ts';
import { type FolderSpec, writeResultFolder } from './testing/result-folder.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-compare-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type Marks = FolderSpec['marks'];

/** Problems P0, P1 … with these marks. */
function named(marks: readonly string[]): Marks {
  return Object.fromEntries(marks.map((word, i) => [`P${i}`, word]));
}

function compared(a: FolderSpec, b: FolderSpec, options: Partial<CompareOptions> = {}): Comparison {
  const folders = [a, b].map((spec, i) => readResults(writeResultFolder(join(folder, 'AB'[i]), spec)));
  return compare(folders[0], folders[1], { force: false, ...options });
}

const single = { a: ['+', '-', '+', '-', '-', '-'], b: ['+', '+', '-', '+', '-', '+'] };

describe('a comparison of one sample a problem', () => {
  test("is the difference, its interval and McNemar's exact test", () => {
    const result = compared({ marks: named(single.a) }, { marks: named(single.b) });
    expect(result).toMatchObject({ benchmark: 'humaneval', n: 6, left_out: 0, headline: 'pass@1' });
    expect(result.differences).toEqual({
      'pass@1': {
        difference: 2 / 6,
        ci95: differenceInterval([1, 0, 1, 0, 0, 0], [1, 1, 0, 1, 0, 1]),
        test: { name: 'mcnemar', p: mcnemarP(1, 3) },
        only_a: 1,
        only_b: 3,
        detectable: detectableByMcnemar(6, 4),
      },
    });
    expect(result.a).toMatchObject({
      folder: join(folder, 'A'),
      'pass@1': 2 / 6,
      intervals: { 'pass@1': wilsonInterval(2, 6) },
    });
    expect(result.b['pass@1']).toBe(4 / 6);
    expect(result.protocol_differences).toEqual([]);
  });
  test('shows each discordant problem with both answers', () => {
    const { discordant } = compared({ marks: named(single.a) }, { marks: named(single.b) });
    expect(discordant.map(({ task_id }) => task_id)).toEqual(['P1', 'P2', 'P3', 'P5']);
    expect(discordant[1]).toEqual({
      task_id: 'P2',
      language: 'py',
      a: { n: 1, c: 1, verdict: 'passed', detail: '', answer: { kind: 'completion', text: 'P2 + 0' } },
      b: {
        n: 1,
        c: 0,
        verdict: 'failed',
        detail: 'AssertionError',
        answer: { kind: 'completion', text: 'P2 - 0' },
      },
    });
  });
  test('pairs problems by their names, not by their places', () => {
    const inOrder = compared({ marks: named(single.a) }, { marks: named(single.b) });
    const turned = Object.fromEntries(Object.entries(named(single.b)).reverse());
    expect(compared({ marks: named(single.a) }, { marks: turned })).toEqual(inOrder);
  });
  test('has an interval where no problem tells the two apart', () => {
    const { differences, discordant } = compared({ marks: named(single.a) }, { marks: named(single.a) });
    expect(discordant).toEqual([]);
    expect(differences['pass@1']).toMatchObject({ difference: 0, only_a: 0, only_b: 0, test: { p: 1 } });
    const [low, high] = differences['pass@1'].ci95;
    expect(high).toBeGreaterThan(0.1);
    expect(low).toBeCloseTo(-high, 12);
  });
  test('counts missing samples as failures, and says so', () => {
    const { discordant } = compared({ marks: { P0: '?', P1: '+' } }, { marks: { P0: '+', P1: '+' } });
    expect(discordant[0].a).toEqual({ n: 1, c: 0, verdict: 'missing', detail: 'no sample', answer: null });
  });
  test('leaves out what a protocol that drops has no sample of, and counts it', () => {
    const parts = { incomplete: 'drop' };
    const a = { marks: named(['+', '?', '-']), incomplete: 'drop', parts } as const;
    const b = { marks: named(['-', '+', '-']), incomplete: 'drop', parts } as const;
    const result = compared(a, b);
    expect(result).toMatchObject({ n: 2, left_out: 1, b: { 'pass@1': 0 } });
    expect(result.differences['pass@1']).toMatchObject({ only_a: 1, only_b: 0, difference: -0.5 });
  });
});

describe('a comparison of several samples a problem', () => {
  const a = { marks: named(['++-', '---', '+--', '-?-']) };
  const b = { marks: named(['+++', '--+', '+--', '+--']) };

  test("takes each problem's mean, and a permutation test instead of McNemar's", () => {
    const result = compared(a, b).differences['pass@1'];
    const [meansA, meansB] = [
      [2 / 3, 0, 1 / 3, 0],
      [1, 1 / 3, 1 / 3, 1 / 3],
    ];
    const gains = meansB.map((mean, i) => mean - meansA[i]);
    expect(result.difference).toBeCloseTo(1 / 4, 12);
    expect(result).toMatchObject({ only_a: 0, only_b: 3, detectable: detectableByMeans(gains) });
    expect(result.test).toEqual({ name: 'sign-flip', p: signFlipP(gains) });
    const right = differenceInterval(meansA, meansB);
    for (const i of [0, 1]) expect(result.ci95[i]).toBeCloseTo(right[i], 12);
  });
  test('may have one sample on one side', () => {
    const one = { marks: named(['+', '-', '+', '-']) };
    for (const { differences } of [compared(one, b), compared(b, one)]) {
      const p = signFlipP([0, 1 / 3, -2 / 3, 1 / 3]);
      expect(differences['pass@1'].test).toEqual({ name: 'sign-flip', p });
    }
  });
  test('takes equal shares of unlike numbers of samples as equal', () => {
    const [tenth, twentieth] = [10, 20].map((n) => ({
      marks: named(Array.from({ length: 9 }, (_, i) => '+'.repeat((i * n) / 10).padEnd(n, '-'))),
    }));
    const result = compared(tenth, twentieth);
    expect(result.discordant).toEqual([]);
    expect(result.differences['pass@1']).toMatchObject({ only_a: 0, only_b: 0, test: { p: 1 } });
    expect(Math.abs(result.differences['pass@1'].ci95[0])).toBeGreaterThan(0.01);
  });
  test('shows a sample that passed of the better and one that did not of the other', () => {
    const { discordant } = compared(b, a);
    expect(discordant.map(({ task_id }) => task_id)).toEqual(['P0', 'P1', 'P3']);
    expect(discordant[0]).toMatchObject({
      a: { n: 3, c: 3, answer: { text: 'P0 + 0' } },
      b: { n: 3, c: 2, verdict: 'failed', answer: { text: 'P0 - 2' } },
    });
  });
});

describe('a comparison for several k', () => {
  const a = { marks: named(['++-', '---', '+--', '-?-']), k: [1, 2, 3] };
  const b = { marks: named(['+++', '--+', '+--', '+--']), k: [1, 3] };
  const counts = [
    [2, 0, 1, 0],
    [3, 1, 1, 1],
  ].map((passes) => passes.map((c) => ({ n: 3, c })));

  test('takes every k that both results have, 1 first', () => {
    const { a: sideA, differences, headline } = compared(a, b);
    expect(headline).toBe('pass@1');
    expect(Object.keys(differences)).toEqual(['pass@1', 'pass@3']);
    expect(Object.keys(sideA.intervals)).toEqual(['pass@1', 'pass@3']);
    expect(sideA['pass@3']).toBe(0.5);
    for (const k of [1, 3]) {
      expect(differences[`pass@${k}`]).toEqual(passDifference(counts[0], counts[1], k));
    }
  });
  test('or those asked for, and 1, and names the problems of the first', () => {
    const { differences, headline, discordant } = compared(a, b, { k: [3, 2] });
    expect(headline).toBe('pass@3');
    expect(Object.keys(differences)).toEqual(['pass@1', 'pass@2', 'pass@3']);
    expect(discordant.map(({ task_id }) => task_id)).toEqual(['P1', 'P3']);
    expect(compared(a, b).discordant.map(({ task_id }) => task_id)).toEqual(['P0', 'P1', 'P3']);
  });
  test("is McNemar's where k is the number of samples, so that a problem is passed or not", () => {
    expect(compared(a, b).differences['pass@3']).toMatchObject({
      difference: 0.5,
      test: { name: 'mcnemar', p: mcnemarP(0, 2) },
      detectable: detectableByMcnemar(4, 2),
    });
  });
  test('is refused for a k beyond the samples of a problem', () => {
    const one = { marks: named(['+', '-', '+', '-']) };
    expect(() => compared(a, one, { k: [2] })).toThrow(/pass@2 needs 2 samples a problem; P0 has 1 in .*B$/);
    expect(() => compared(one, a, { k: [2] })).toThrow(ConfigError);
  });
  test('leaves out problems with too few samples where the protocol drops', () => {
    const parts = { incomplete: 'drop' };
    const [few, more] = [
      { marks: named(['+-', '+?', '--']), incomplete: 'drop', parts },
      { marks: named(['++', '-+', '+?']), incomplete: 'drop', parts },
    ] as const;
    expect(compared(few, more)).toMatchObject({ n: 3, left_out: 0 });
    const result = compared(few, more, { k: [2] });
    expect(result).toMatchObject({ n: 1, left_out: 2, a: { 'pass@2': 1 }, b: { 'pass@1': 1 } });
  });
});

test('swapping the sides turns the difference round and changes nothing else', () => {
  const word = fc.string({ unit: fc.constantFrom('+', '-'), minLength: 2, maxLength: 2 });
  const pairs = fc.array(fc.tuple(word, word), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(pairs, fc.integer({ min: 1, max: 2 }), (list, length) => {
      const a = { marks: named(list.map(([x]) => x.slice(0, length))) };
      const b = { marks: named(list.map(([, x]) => x.slice(0, length))) };
      const k = [length];
      const [forth, back] = [compared(a, b, { k }), compared(b, a, { k })];
      expect(Object.keys(back.differences)).toEqual(Object.keys(forth.differences));
      for (const [key, one] of Object.entries(forth.differences)) {
        const other = back.differences[key as keyof typeof back.differences];
        expect(other.difference).toBeCloseTo(-one.difference, 12);
        expect(other.ci95[0]).toBeCloseTo(-one.ci95[1], 12);
        expect(other.ci95[1]).toBeCloseTo(-one.ci95[0], 12);
        expect(other.test).toEqual(one.test);
        expect([other.only_a, other.only_b]).toEqual([one.only_b, one.only_a]);
        expect(other.detectable.powered ?? -1).toBeCloseTo(one.detectable.powered ?? -1, 9);
      }
      expect(back.discordant.map(({ a, b }) => [b, a])).toEqual(forth.discordant.map(({ a, b }) => [a, b]));
    }),
    { numRuns: 15 },
  );
});

describe('refused with one line:', () => {
  const marks = { P0: '+', P1: '-' };

  test('different protocols, with the parts that differ, unless forced', () => {
    const a = { marks, parts: { limits: { wallSeconds: 10, openFiles: 256 }, k: [1, 10], mode: 'x' } };
    const b = {
      marks,
      parts: { limits: { wallSeconds: 3, openFiles: 256 }, k: [1], sandbox: 'none', mode: 'x' },
    };
    expect(() => compared(a, b)).toThrow(ConfigError);
    expect(() => compared(a, b)).toThrow(
      'k[1]: 10 against nothing, limits.wallSeconds: 10 against 3, sandbox: nothing against "none"',
    );
    const forced = compared(a, b, { force: true });
    expect(forced.protocol_differences.map(({ part }) => part)).toEqual([
      'k[1]',
      'limits.wallSeconds',
      'sandbox',
    ]);
    expect(forced.a.protocol).not.toBe(forced.b.protocol);
  });
  test('different benchmarks, forced or not', () => {
    const other = { marks, benchmark: 'mbpp' };
    expect(() => compared({ marks }, other, { force: true })).toThrow(
      /different benchmarks: humaneval in .* mbpp/,
    );
  });
  test('different problems, forced or not, with those that only one has', () => {
    const more = { marks: { ...marks, ...Object.fromEntries([...'abcdefg'].map((id) => [id, '+'])) } };
    expect(() => compared({ marks }, more, { force: true })).toThrow(ConfigError);
    expect(() => compared({ marks }, more, { force: true })).toThrow(
      /only in .*B: a, b, c, d, e and 2 more$/,
    );
    expect(() => compared(more, { marks })).toThrow(/only in .*A: a/);
    expect(() => compared({ marks: { P0: '+', P1: '+' } }, { marks: { P0: '+', P2: '+' } })).toThrow(
      /only in .*A: P1; only in .*B: P2$/,
    );
  });
  test('one problem in two languages', () => {
    expect(() => compared({ marks }, { marks, language: 'java' })).toThrow(/P0 is py in .* and java in/);
  });
  test('no problem that both have enough samples of', () => {
    const [a, b] = [
      { marks: { P0: '+', P1: '?' }, incomplete: 'drop' },
      { marks: { P0: '?', P1: '+' }, incomplete: 'drop' },
    ] as const;
    expect(() => compared(a, b)).toThrow(/no problem that both have enough samples of/);
    const one = { marks: { P0: '+' }, incomplete: 'drop' } as const;
    expect(() => compared(one, one, { force: false, k: [2] })).toThrow(/enough samples/);
  });
});

describe('the differences of two protocols', () => {
  test('are none exactly where the fingerprints are equal', () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom(0, 1, '', 'a', null, true),
        fc.array(tie('any'), { maxLength: 2 }),
        fc.dictionary(fc.constantFrom('a', 'b', 'a.b', '0', '"a"'), tie('any'), { maxKeys: 2 }),
      ),
    })).any;
    const parts = fc.dictionary(fc.constantFrom('a', 'b', 'a.b'), value, { maxKeys: 2 });
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        expect(protocolDifferences(a, b).length === 0).toBe(protocolHash(a) === protocolHash(b));
        expect(protocolDifferences(a, structuredClone(a))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
  test('tell a key with a dot from a key in a key, and a list from an object', () => {
    const parts = [{ 'a.b': 1 }, { a: { b: 1 } }, { a: [1] }, { a: { 0: 1 } }, { a: [] }, { a: {} }, {}];
    for (const a of parts) {
      for (const b of parts) expect(protocolDifferences(a, b).length === 0).toBe(a === b);
    }
  });
});
