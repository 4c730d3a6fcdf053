import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestAll, digestFile, digestJson, digestRows } from './digest.ts';
import { DataError } from './errors.ts';
import { temporaryFile, temporaryFolder } from './testing/temporary-folder.ts';

const ofNothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const ofAbc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
const ofMillionAs = 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0';

test.each([
  ['of nothing', '', ofNothing],
  ['of abc', 'abc', ofAbc],
  ['of a million times a', 'a'.repeat(1e6), ofMillionAs],
])('the digest %s is that of FIPS 180', (_, content, sha256) => {
  const path = temporaryFile('a', content);
  expect(digestFile(path)).toEqual({ path, bytes: content.length, sha256 });
});

test('a file of several pieces has the digest of the whole', () => {
  const content = Buffer.alloc(3 * 2 ** 20 + 1, 'piece');
  const { bytes, sha256 } = digestFile(temporaryFile('a', content));
  expect(bytes).toBe(content.length);
  expect(sha256).not.toBe(digestFile(temporaryFile('a', content.subarray(1))).sha256);
});

test('the digests of a folder are those of its files by name, folders within included', () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'm'));
  for (const name of ['z.txt', 'm/inner.json', 'a.json', 'model.safetensors'])
    writeFileSync(join(folder, name), 'abc');
  expect(digestAll(folder).map(({ path }) => basename(path))).toEqual([
    'a.json',
    'inner.json',
    'model.safetensors',
    'z.txt',
  ]);
});

test('a link to nothing, and what is neither file nor folder, are refused where they count', () => {
  const folder = temporaryFolder();
  symlinkSync('nowhere', join(folder, 'a.json'));
  writeFileSync(join(folder, 'b.txt'), 'abc');
  expect(digestAll(folder, (file) => file.endsWith('.txt'))).toHaveLength(1);
  expect(() => digestAll(folder)).toThrow(DataError);
  expect(() => digestAll('/dev/null')).toThrow('/dev/null: is neither a file nor a folder');
});

test('the digest of a value is that of its canonical JSON', () => {
  const { sha256 } = digestFile(temporaryFile('a', '{"a":[1,""],"b":null}'));
  expect(digestJson({ b: null, a: [1, ''] })).toBe(sha256);
});

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

test('a folder that links lead back to, or lead to many times, counts once', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 30; i++) {
    mkdirSync(join(folder, `${i}`));
    writeFileSync(join(folder, `${i}`, 'a.txt'), 'abc');
    for (const link of ['x', 'y']) symlinkSync(`../${(i + 1) % 30}`, join(folder, `${i}`, link));
  }
  expect(digestAll(folder)).toHaveLength(30);
});

describe('the digest of rows', () => {
  test('does not depend on the order of keys, at any depth', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (rows) => {
        expect(digestRows(rows.map(reversed))).toBe(digestRows(rows));
      }),
    );
  });

  test('differs where the rows, their order or their number differ', () => {
    const digests = [[], [1], [2], [1, 2], [2, 1], [12], [[1, 2]], ['1'], [{ a: 1 }], [{ a: 2 }]].map(
      digestRows,
    );
    expect(new Set(digests).size).toBe(digests.length);
  });

  test('is the SHA-256 of canonical JSON, a row a line', () => {
    // printf '{"a":[{"c":2,"d":1}],"b":null}\n' | sha256sum
    const expected = '962c6a86e1481bd413adc285817a0c470ca9ffd3cfee2155393d3232e56037cb';
    expect(digestRows([{ b: null, a: [{ d: 1, c: 2 }] }])).toBe(expected);
  });
});
