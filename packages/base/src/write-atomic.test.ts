import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DataError } from './errors.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';
import { removePartial, writeAtomic } from './write-atomic.ts';

test('an atomic write replaces the content and leaves nothing beside it', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.json');
  writeAtomic(path, 'old');
  writeAtomic(path, Uint8Array.of(110, 101, 119));
  expect(readFileSync(path, 'utf8')).toBe('new');
  expect(readdirSync(folder)).toEqual(['a.json']);
});

test('an atomic write that fails leaves what was there', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'taken');
  mkdirSync(path);
  writeFileSync(join(path, 'kept'), 'kept');
  expect(() => writeAtomic(path, 'new')).toThrow();
  expect(readFileSync(join(path, 'kept'), 'utf8')).toBe('kept');
  expect(readdirSync(folder)).toEqual(['taken']);
});

test('what a piece throws while it is made leaves what was there, as it is thrown', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.txt');
  writeAtomic(path, ['one', Uint8Array.of(32), 'é']);
  expect(readFileSync(path, 'utf8')).toBe('one é');
  const pieces = function* () {
    yield 'half';
    throw new RangeError('no second half');
  };
  expect(() => writeAtomic(path, pieces())).toThrow(RangeError);
  expect(readFileSync(path, 'utf8')).toBe('one é');
  expect(readdirSync(folder)).toEqual(['a.txt']);
});

test('a disk that refuses is told in one line with the path', () => {
  const path = join(temporaryFolder(), 'no', 'a.txt');
  expect(() => writeAtomic(path, '')).toThrow(DataError);
  expect(() => writeAtomic(path, '')).toThrow(`${path}: cannot be written: ENOENT`);
});

test('what a writer that was killed has left goes, and nothing else', () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, '.step-3.partial', 'adapter'), { recursive: true });
  for (const name of ['.a.json.17.partial', 'b.partial', '.lock', 'c.json'])
    writeFileSync(join(folder, name), '');
  removePartial(folder);
  expect(readdirSync(folder).sort()).toEqual(['.lock', 'b.partial', 'c.json']);
  removePartial(join(folder, 'nowhere'));
});
