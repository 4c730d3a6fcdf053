import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError } from './errors.ts';
import { makeFolder } from './make-folder.ts';
import { temporaryFolder } from './testing/index.ts';

test('what is made is told innermost first, and what is there is not', () => {
  const folder = temporaryFolder();
  expect(makeFolder(join(folder, 'a/b'))).toEqual([join(folder, 'a/b'), join(folder, 'a')]);
  expect(makeFolder(join(folder, 'a/b'))).toEqual([]);
});

test('a file in the way is named, once', () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  expect(() => makeFolder(file)).toThrow(new ConfigError(`${file}: is a file, and no folder`));
  const below = join(file, 'a/b');
  expect(() => makeFolder(below)).toThrow(new ConfigError(`${below}: ${file} is a file, and no folder`));
  expect(existsSync(below)).toBe(false);
});
