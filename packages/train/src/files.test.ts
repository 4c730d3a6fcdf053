import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeAtomic } from './files.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';

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
