import fc from 'fast-check';
import { expect, test } from 'vitest';
import { publicText } from './public-text.ts';

const part = fc.stringMatching(/^[\p{L}\p{N}._@+-]{3,9}$/u).filter((name) => !/^\.+$/.test(name));
const parts = fc.uniqueArray(part, { minLength: 3, maxLength: 7 });
const around = fc.constantFrom('', 'cannot read ', 'out=', '"', '(', 'flex train ', '--data=', 'file: ');

test.each([
  ['/', ''],
  ['~/', ''],
  ['C:\\', '\\'],
])('of an absolute path %j nothing but its last two parts is left, wherever it stands', (root, between) => {
  fc.assert(
    fc.property(parts, around, (names, before) => {
      const shown = publicText(`${before}${root}${names.join(between || '/')}`);
      expect(shown).toBe(`${before}…/${names.slice(-2).join('/')}`);
    }),
  );
});

test('a path with spaces that is a text by itself is shortened whole', () => {
  expect(publicText('/home/a name/my runs/one run')).toBe('…/my runs/one run');
});

test('of several paths none is left', () => {
  const command = 'flex train /home/me/x/run.yaml model=/mnt/disk/llama/7b out=/tmp/out';
  expect(publicText(command)).toBe('flex train …/x/run.yaml model=…/llama/7b out=…/out');
});

test.each(['redis://user:word@host.example:6379/0', 'rediss://:word@10.0.0.1', 'file:///home/me/x'])(
  'of the address %s only what kind it is',
  (address) => {
    expect(publicText(`--queue ${address} --jobs 2`)).toMatch(/^--queue (rediss?|file):\/\/… --jobs 2$/);
  },
);

test.each([
  'α/r, 1/2 and A/B',
  '‖change‖ / ‖weights‖',
  'runs/adamw/seed-0',
  './mine.ts and ../x/y/z',
  'https://example.org/a/b/c',
  'org/name@6c284d1',
  '…/data/mbpp.jsonl 511-600',
  '3 / 4 / 5',
])('%s stays', (text) => expect(publicText(text)).toBe(text));

test('what is shortened stays as it is', () => {
  fc.assert(
    fc.property(parts, (names) => {
      const once = publicText(`at /${names.join('/')}`);
      expect(publicText(once)).toBe(once);
    }),
  );
});
