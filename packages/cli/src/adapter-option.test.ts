import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPeftCase, peftInputs, peftModel, readTensors } from '@flex/fixtures';
import { relativeError } from '@flex/tensor/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flex } from './testing/flex.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-adapters-'));
const input = join(folder, 'inputs.json');
beforeAll(() => writeFileSync(input, JSON.stringify({ input_ids: peftInputs().input_ids })));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs `flex logits` on a model of the reference values; its exit code, standard error and logits. */
async function logitsWith(...adapters: string[]) {
  const out = join(folder, 'logits.safetensors');
  const named = adapters.flatMap((adapter) => ['--adapter', adapter]);
  const args = [
    'logits',
    '--model',
    peftModel('base'),
    '--input',
    input,
    '--out',
    out,
    '--device',
    'cpu',
    ...named,
  ];
  const { code, stderr } = await flex(...args);
  return { code, stderr, logits: code === 0 ? readTensors(out).get('logits')!.data : null };
}

const dirOf = (name: string) => openPeftCase(`two/${name}`).dir;

test('several adapters with weights are PEFT’s weighted sum; one without is itself', async () => {
  const sum = await logitsWith(`${dirOf('one')}@0.7`, `${dirOf('other')}@0.4`, `${dirOf('wide')}@-0.5`);
  expect(relativeError(sum.logits!, openPeftCase('two/cat').logits)).toBeLessThan(1e-5);
  const one = await logitsWith(dirOf('one'));
  expect(relativeError(one.logits!, openPeftCase('two/one').logits)).toBeLessThan(1e-5);
});

test('a folder whose own name ends like a weight is that folder', async () => {
  const dir = join(folder, 'adapter@2');
  cpSync(dirOf('one'), dir, { recursive: true });
  const { logits } = await logitsWith(dir);
  expect(relativeError(logits!, openPeftCase('two/one').logits)).toBeLessThan(1e-5);
});

test.each([
  [
    ['runs/a/b@half'],
    'It must be a folder, or a folder and its weight in the sum, such as runs/a/adapter@0.5.',
  ],
  [['runs/a@half'], 'runs/a@half: is no folder here, and not in Hugging Face'],
  [['runs/a@'], 'It must be a folder, or a folder and its weight'],
  [[''], 'It must be a folder, or a folder and its weight'],
  [['@0.5'], 'It must be a folder, or a folder and its weight'],
  [[`${openPeftCase('dora').dir}@0.5`], 'adapter 1 of the sum: has DoRA; only W + s·B·A can be summed'],
])('%j is refused with exit code 2', async (adapters, message) => {
  const { code, stderr } = await logitsWith(...adapters);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});
