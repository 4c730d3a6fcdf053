import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../canonical-json.ts';
import { dataDigest } from './data-digest.ts';

/** The same value with the keys of its objects in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

describe('the digest of data', () => {
  test('does not depend on the order of keys, at any depth', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (rows) => {
        expect(dataDigest(rows.map(reversed))).toBe(dataDigest(rows));
      }),
    );
  });

  test('differs where the rows, their order or their number differ', () => {
    const digests = [[], [1], [2], [1, 2], [2, 1], [12], [[1, 2]], ['1'], [{ a: 1 }], [{ a: 2 }]].map(
      dataDigest,
    );
    expect(new Set(digests).size).toBe(digests.length);
  });

  test('is the SHA-256 of canonical JSON, a row a line', () => {
    // printf '{"a":[{"c":2,"d":1}],"b":null}\n' | sha256sum
    const expected = '962c6a86e1481bd413adc285817a0c470ca9ffd3cfee2155393d3232e56037cb';
    expect(dataDigest([{ b: null, a: [{ d: 1, c: 2 }] }])).toBe(expected);
    expect(canonicalJson({ b: null, a: [{ d: 1, c: 2 }] }, 'value')).toBe('{"a":[{"c":2,"d":1}],"b":null}');
  });
});
