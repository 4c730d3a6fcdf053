import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { flex } from './testing/flex.ts';

const micro = join(import.meta.dirname, '../assets/micro');

test('an adapter of a run on quantized weights warns where the weights are not so', async () => {
  const run = temporaryFolder();
  const adapter = join(run, 'adapter');
  mkdirSync(adapter);
  const manifest = { kind: 'flex-run', protocol: { quantized: { dtype: 'nf4', errors: {} } } };
  writeFileSync(join(run, 'manifest.json'), JSON.stringify(manifest));
  const words = ['generate', '--model', micro, '--ids', '1', '--adapter', adapter, '--device', 'cpu'];
  // There is no adapter in it, which is met later.
  const warning = `${adapter}: was trained on the model as nf4; --quantize nf4 takes it so\n`;
  expect((await flex(...words)).stderr).toContain(warning);
  expect((await flex(...words, '--quantize', 'nf4')).stderr).not.toContain('was trained');
});
