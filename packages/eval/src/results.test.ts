import { createHash } from 'node:crypto';
import { ConfigError } from '@flex/base';
import type { Judgement } from '@flex/judge';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeResults, encodeSample, missingRow, protocolHash, type Results, sampleRow } from './results.ts';
import { score } from './score.ts';

const judgement: Judgement = {
  verdict: 'failed',
  failure: 'assertion',
  detail: 'AssertionError: 1 != 2',
  assurance: 'isolated',
  seconds: 0.25,
};

/** The same value with the keys of its objects in the other order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)]),
  );
}

const jsonObjects = fc.dictionary(fc.string(), fc.jsonValue()) as fc.Arbitrary<Record<string, unknown>>;

describe('the fingerprint of a protocol', () => {
  test('is the SHA-256 of its JSON with sorted keys', () => {
    const text = '{"a":{"10":1,"9":[true,null,"é"]},"b":1.5}';
    const hash = createHash('sha256').update(text).digest('hex');
    expect(protocolHash({ b: 1.5, a: { 9: [true, null, 'é'], 10: 1 } })).toBe(hash);
  });
  test('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(jsonObjects, (parts) => {
        expect(protocolHash(reversed(parts) as Record<string, unknown>)).toBe(protocolHash(parts));
      }),
    );
  });
  test('differs for different parts', () => {
    const parts = [
      {},
      { a: 1 },
      { a: '1' },
      { a: [1] },
      { a: { 0: 1 } },
      { a: null },
      { b: 1 },
      { a: [1, 2] },
    ];
    expect(new Set([...parts, { a: [2, 1] }].map(protocolHash)).size).toBe(parts.length + 1);
  });
  test.each([
    ['undefined', { a: { b: undefined } }, 'protocol.a.b: needs a JSON value, got undefined'],
    ['a number that is not finite', { a: [0, Number.NaN] }, 'protocol.a.1: needs a JSON value, got NaN'],
    ['a hole in a list', { a: new Array(1) }, 'protocol.a.0: needs a JSON value, got undefined'],
    ['a function', { a: () => 1 }, 'protocol.a: needs a JSON value, got a function'],
    ['a bigint', { a: 1n }, 'protocol.a: needs a JSON value, got a bigint'],
    ['a map', { a: new Map([[1, 2]]) }, 'protocol.a: needs a JSON value, got a Map'],
  ])('refuses %s, with where it lies', (_, parts, message) => {
    expect(() => protocolHash(parts)).toThrow(new ConfigError(message));
  });
});

describe('a row of samples.jsonl', () => {
  const problem = { id: '11', language: 'py' } as const;

  test("keeps the sample's own row, in its order, before the judge's word", () => {
    const row = sampleRow({ note: 'x', task_id: 11, completion: 'é\u2028', seed: 3 }, problem, judgement);
    expect(encodeSample(row)).toBe(
      '{"note":"x","task_id":11,"completion":"é\u2028","seed":3,"verdict":"failed","failure":"assertion",' +
        '"detail":"AssertionError: 1 != 2","assurance":"isolated","seconds":0.25,"language":"py"}\n',
    );
  });
  test('replaces an earlier judgement', () => {
    const old = {
      task_id: '11',
      completion: 'x',
      verdict: 'passed',
      failure: null,
      language: 'java',
      seconds: 9,
    };
    expect(Object.entries(sampleRow(old, problem, judgement))).toEqual(
      Object.entries({ task_id: '11', completion: 'x', ...judgement, language: 'py' }),
    );
  });
  test("has the problem's id where the sample writes it otherwise", () => {
    expect(sampleRow({ task_id: 'Mbpp/11', solution: 'x' }, problem, judgement).task_id).toBe('11');
    expect(sampleRow({ task_id: 11, completion: 'x' }, problem, judgement).task_id).toBe(11);
  });
  test('of a missing sample has no answer', () => {
    const row = missingRow(problem);
    expect(row).toMatchObject({ task_id: '11', verdict: 'missing', failure: 'missing', assurance: null });
    expect(row).not.toHaveProperty('completion');
    expect(row).not.toHaveProperty('program');
  });
});

describe('results.json', () => {
  const parts = { limits: { wallSeconds: 3 }, benchmark: 'humaneval' };
  const sample = { verdict: 'passed', failure: null, assurance: 'isolated' } as const;
  const problems = [{ id: 'a', language: 'py' as const, samples: Array(10).fill(sample) }];
  const results: Results = {
    ...score(problems, { n: 10, k: [10, 2], incomplete: 'fail' }),
    benchmark: 'humaneval',
    protocol: protocolHash(parts),
    protocol_parts: parts,
  };

  test('has its keys in a fixed order, those of every evaluation first', () => {
    const keys = Object.keys(JSON.parse(encodeResults(results)) as object);
    expect(keys).toEqual([
      'pass@1',
      'pass@2',
      'pass@10',
      'n',
      'ci95',
      'intervals',
      'counts',
      'protocol',
      'benchmark',
      'samples_per_problem',
      'incomplete',
      'dropped',
      'failures',
      'languages',
      'assurance',
      'protocol_parts',
    ]);
  });
  test('is the same bytes for equal results, and reads back as they are', () => {
    const text = encodeResults(results);
    expect(encodeResults(reversed(results) as Results)).toBe(text);
    expect(JSON.parse(text)).toEqual(results);
    expect(text.endsWith('}\n')).toBe(true);
  });
  test('refuses parts that JSON cannot say', () => {
    const wrong = { ...results, protocol_parts: { seed: Number.POSITIVE_INFINITY } };
    expect(() => encodeResults(wrong)).toThrow('protocol_parts.seed: needs a JSON value, got Infinity');
  });
});
