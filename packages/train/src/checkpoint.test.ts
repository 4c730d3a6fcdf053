import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { saveCheckpoint } from './checkpoint.ts';

test('a checkpoint is not written through a link, and removes nothing behind it', async () => {
  const [out, outside] = [temporaryFolder(), temporaryFolder()];
  writeFileSync(join(outside, 'step-1'), 'kept');
  symlinkSync(outside, join(out, 'checkpoints'));
  const config = {
    rank: 1,
    alpha: 1,
    dropout: 0,
    targets: [],
    scaling: 'alpha/r',
    rankPattern: {},
    alphaPattern: {},
  } as const;
  const lora = { config, modules: new Map(), removed: null };
  const saved = { step: 1, run: 'digest', params: new Map(), whole: new Map(), state: new Map() };
  await expect(saveCheckpoint(out, saved, lora, 'model')).rejects.toThrow('checkpoints: is a link');
  expect(readdirSync(outside)).toEqual(['step-1']);
});
