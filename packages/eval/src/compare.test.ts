import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Comparison, compare, protocolDifferences } from './compare.ts';
import { readResults } from './read-results.ts';
import { protocolHash } from './results.ts';
import { bootstrapMean } from './statistics/bootstrap.ts';
import { detectableByMcnemar, detectableByMeans } from './statistics/detectable.ts';
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

function compared(a: FolderSpec, b: FolderSpec, { force = false }: { force?: boolean } = {}): Comparison {
  const folders = [a, b].map((spec, i) => readResults(writeResultFolder(join(folder, 'AB'[i]), spec)));
  return compare(folders[0], folders[1], { force });
}

const single = { a: ['+', '-', '+', '-', '-', '-'], b: ['+', '+', '-', '+', '-', '+'] };

describe('a comparison of one sample a problem', () => {
  test("is the difference, McNemar's exact test and the paired bootstrap", () => {
    const result = compared({ marks: named(single.a) }, { marks: named(single.b) });
    expect(result).toMatchObject({ benchmark: 'humaneval', n: 6, left_out: 0, only_a: 1, only_b: 3 });
    expect(result.difference).toBeCloseTo(2 / 6, 12);
    expect(result.test).toEqual({ name: 'mcnemar', p: mcnemarP(1, 3) });
    expect(result.ci95).toEqual(bootstrapMean([0, 1, -1, 1, 0, 1]));
    expect(result.detectable).toEqual(detectableByMcnemar(6, 4));
    expect(result.a).toMatchObject({
      folder: join(folder, 'A'),
      'pass@1': 2 / 6,
      ci95: wilsonInterval(2, 6),
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
  test('has no interval where no problem tells the two apart', () => {
    const result = compared({ marks: named(single.a) }, { marks: named(single.a) });
    expect(result).toMatchObject({ difference: 0, ci95: null, only_a: 0, only_b: 0, discordant: [] });
    expect(result.test.p).toBe(1);
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
    expect(result).toMatchObject({ n: 2, left_out: 1, only_a: 1, only_b: 0, difference: -0.5 });
    expect(result.b['pass@1']).toBe(0);
  });
});

describe('a comparison of several samples a problem', () => {
  const a = { marks: named(['++-', '---', '+--', '-?-']) };
  const b = { marks: named(['+++', '--+', '+--', '+--']) };

  test("takes each problem's mean, and a permutation test instead of McNemar's", () => {
    const result = compared(a, b);
    const gains = [1 - 2 / 3, 1 / 3, 0, 1 / 3];
    expect(result.difference).toBeCloseTo(1 / 4, 12);
    expect(result).toMatchObject({ only_a: 0, only_b: 3 });
    expect(result.test).toEqual({ name: 'sign-flip', p: signFlipP(gains) });
    expect(result.ci95).toEqual(bootstrapMean(gains));
    expect(result.detectable).toEqual(detectableByMeans(gains));
  });
  test('may have one sample on one side', () => {
    const one = { marks: named(['+', '-', '+', '-']) };
    for (const result of [compared(one, b), compared(b, one)]) {
      expect(result.test).toEqual({ name: 'sign-flip', p: signFlipP([0, 1 / 3, -2 / 3, 1 / 3]) });
    }
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

test('swapping the sides turns the difference round and changes nothing else', () => {
  const word = fc.string({ unit: fc.constantFrom('+', '-'), minLength: 2, maxLength: 2 });
  const pairs = fc.array(fc.tuple(word, word), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(pairs, fc.integer({ min: 1, max: 2 }), (list, length) => {
      const a = { marks: named(list.map(([x]) => x.slice(0, length))) };
      const b = { marks: named(list.map(([, x]) => x.slice(0, length))) };
      const [forth, back] = [compared(a, b), compared(b, a)];
      expect(back.difference).toBeCloseTo(-forth.difference, 12);
      expect(back.test).toEqual(forth.test);
      expect([back.only_a, back.only_b]).toEqual([forth.only_b, forth.only_a]);
      expect(back.detectable.powered ?? -1).toBeCloseTo(forth.detectable.powered ?? -1, 9);
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
  test('no problem that both have samples of', () => {
    const [a, b] = [
      { marks: { P0: '+', P1: '?' }, incomplete: 'drop' },
      { marks: { P0: '?', P1: '+' }, incomplete: 'drop' },
    ] as const;
    expect(() => compared(a, b)).toThrow(/no problem that both have samples of/);
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
