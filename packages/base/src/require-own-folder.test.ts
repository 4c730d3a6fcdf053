import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError } from './errors.ts';
import { requireOwnFolder } from './require-own-folder.ts';
import { temporaryFolder } from './testing/index.ts';

/** A folder with a model, data in a file and in a folder, and links to them. */
function inputs() {
  const folder = temporaryFolder();
  const at = (...names: string[]) => join(folder, ...names);
  for (const name of ['in/model/inner', 'in/rows', 'data']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('data/data.jsonl'), '');
  for (const [target, name] of [
    ['in/model', 'to-model'],
    ['in', 'to-in'],
    ['data/data.jsonl', 'linked.jsonl'],
  ]) {
    symlinkSync(at(target), at(name));
  }
  const read = [
    { of: 'the model', path: at('in/model') },
    { of: 'the data', path: at('data/data.jsonl') },
    { of: 'the data', path: at('in/rows') },
  ];
  const refusal = (out: string, paths = read) => {
    try {
      requireOwnFolder('--out', out, paths);
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      return (error as Error).message;
    }
    return null;
  };
  return { at, refusal };
}

test.each([
  ['/', "is the file system's root"],
  ['.', 'is the working directory'],
  ['..', 'holds the working directory, '],
  ['packages/..', 'is the working directory'],
  [homedir(), '(is|holds) the (home folder|working directory)'],
  [dirname(homedir()), "is the file system's root|holds the "],
])('%j is refused as a folder of results', (out, words) => {
  expect(inputs().refusal(out)).toMatch(new RegExp(`^--out: .* (${words}).*; take a folder of its own$`));
});

test.each(['', ' '])('an empty name is refused', (out) => {
  expect(inputs().refusal(out)).toBe('--out: is empty; name a folder');
});

test.each([
  ['in/model', 'is the folder of the model'],
  ['in/model/', 'is the folder of the model'],
  ['in/model/inner', 'lies in the folder of the model, '],
  ['in/model/new/out', 'lies in the folder of the model, '],
  ['to-model', 'is the folder of the model'],
  ['to-model/out', 'lies in the folder of the model, '],
  ['in', 'holds the folder of the model, '],
  ['to-in', 'holds the folder of the model, '],
  ['to-in/model', 'is the folder of the model'],
  ['data', 'is the folder of the data'],
  ['in/rows', 'is the folder of the data'],
  ['in/rows/out', 'lies in the folder of the data'],
  ['.', 'holds the folder of the model'],
])('%s is refused where it would mix results with what is read', (out, words) => {
  const { at, refusal } = inputs();
  expect(refusal(at(out))).toContain(` ${words}`);
});

test.each(['out', 'in/model-2', 'in/rows.out', '..out', 'data/out', 'new/folder'])(
  '%s is a folder of its own',
  (out) => {
    const { at, refusal } = inputs();
    expect(refusal(at(out))).toBe(null);
  },
);

test('a file that is a link lies where it leads to', () => {
  const { at, refusal } = inputs();
  expect(refusal(at('data'), [{ of: 'the data', path: at('linked.jsonl') }])).toContain(
    'is the folder of the data',
  );
});

test('an input that is not there is no reason to refuse, but its own path', () => {
  const { at, refusal } = inputs();
  const missing = [{ of: 'the model', path: at('nowhere/model') }];
  expect(refusal(at('out'), missing)).toBe(null);
  expect(refusal(at('nowhere/model'), missing)).toContain('is the folder of the model');
});
