import { mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { digestAll } from './digest.ts';
import { DataError } from './errors.ts';
import { openInputFiles } from './input-files.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';

let folder: string;
const path = (name: string) => join(folder, name);
beforeEach(() => {
  folder = temporaryFolder();
  for (const name of ['a.json', 'b.txt']) writeFileSync(path(name), 'abc');
  utimesSync(path('a.json'), 5, 5);
});

const isJson = (file: string) => file.endsWith('.json');

test('digests are those of digestAll, by absolute paths', () => {
  const files = openInputFiles();
  expect(files.digest(relative(process.cwd(), folder))).toEqual(digestAll(folder));
  expect(files.digest(folder, isJson).map((file) => basename(file.path))).toEqual(['a.json']);
  expect(() => files.digest(path('none'))).toThrow('none: no such file or folder');
});

test('a file is read once, however often it is asked for', () => {
  const files = openInputFiles();
  const first = files.digest(folder);
  writeFileSync(path('a.json'), 'else');
  expect(files.digest(folder)).toEqual(first);
  expect(files.digest(path('a.json'))).toEqual([first[0]]);
});

test.each<[string, string, () => void]>([
  ['grew', 'a.json', () => writeFileSync(path('a.json'), 'abcd')],
  ['was written at another time', 'a.json', () => utimesSync(path('a.json'), 1, 1)],
  ['was removed', 'b.txt', () => rmSync(path('b.txt'))],
  ['came', 'c.json', () => writeFileSync(path('c.json'), '')],
  [
    'is another of the same size and time',
    'a.json',
    () => {
      writeFileSync(path('other'), 'abd');
      utimesSync(path('other'), 5, 5);
      renameSync(path('other'), path('a.json'));
    },
  ],
])('a file that %s is named', (_, name, change) => {
  const [watched, digested] = [openInputFiles(), openInputFiles()];
  watched.watch(folder);
  digested.digest(folder);
  for (const files of [watched, digested]) expect(() => files.requireUnchanged()).not.toThrow();
  change();
  for (const files of [watched, digested]) {
    expect(() => files.requireUnchanged()).toThrow(DataError);
    expect(() => files.requireUnchanged()).toThrow(`${name}: was changed while it was read`);
  }
});

test('what changes between watching and digesting is told, and what nobody watches is not', () => {
  const files = openInputFiles();
  files.watch(folder, isJson);
  mkdirSync(path('inner'));
  writeFileSync(path('b.txt'), 'changed');
  expect(() => files.requireUnchanged()).not.toThrow();
  writeFileSync(path('inner/c.json'), '{}');
  expect(() => files.requireUnchanged()).toThrow('inner/c.json: was changed while it was read');
});
