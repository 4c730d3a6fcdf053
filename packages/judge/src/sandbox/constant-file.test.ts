import { closeSync, readdirSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { constantFile, openConstant } from './constant-file.ts';

const openFiles = () => readdirSync('/proc/self/fd').length;

function reads(content: Uint8Array): string {
  const file = openConstant(content) as number;
  const text = readFileSync(file, 'utf8');
  closeSync(file);
  return text;
}

test('a constant is read from its beginning each time; other bytes are none', () => {
  const content = constantFile('some text');
  expect([reads(content), reads(content)]).toEqual(['some text', 'some text']);
  expect([openConstant('some text'), openConstant(Buffer.from('some text'))]).toEqual([null, null]);
});

test('the files of constants that nobody holds are closed', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const before = openFiles();
  for (let i = 0; i < 50; i++) expect(reads(constantFile(`text ${i}`))).toBe(`text ${i}`);
  await vi.waitFor(() => {
    collect();
    expect(openFiles()).toBeLessThan(before + 10);
  });
});
