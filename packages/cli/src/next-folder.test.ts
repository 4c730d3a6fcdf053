import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { inNextFolder, nextFolder } from './next-folder.ts';

test('each of several that ask at once gets a folder of its own, the next that is free', async () => {
  const runs = join(temporaryFolder(), 'runs');
  mkdirSync(join(runs, 'name-2'), { recursive: true });
  const got: string[] = [];
  const work = async (path: string) => {
    got.push(basename(path));
    writeFileSync(join(path, 'kept'), '');
    await new Promise(setImmediate);
  };
  await Promise.all(Array.from({ length: 4 }, () => inNextFolder(join(runs, 'name'), work)));
  expect(got).toEqual(['name', 'name-3', 'name-4', 'name-5']);
  expect(nextFolder(join(runs, 'name'))).toBe(join(runs, 'name-6'));
  expect(existsSync(join(runs, 'name-6'))).toBe(false);
});

test('a folder that stays empty goes, and the error stays', async () => {
  const runs = temporaryFolder();
  const refused = inNextFolder(join(runs, 'name'), () => Promise.reject(new Error('refused')));
  await expect(refused).rejects.toThrow('refused');
  expect(readdirSync(runs)).toEqual([]);
});
