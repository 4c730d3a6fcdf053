import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPeftCase } from '@flex/fixtures';
import { withoutSandbox } from '@flex/judge/testing';
import { linearSizes, readConfig } from '@flex/llama';
import { initLora, resolveTargets, writeAdapter } from '@flex/peft';
import { openReference } from '@flex/tensor';
import { openSafetensors, writeSafetensors } from '@flex/tensor/safetensors';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const { dir: adapter, model } = openPeftCase('rslora');
const micro = join(import.meta.dirname, '../../assets/micro');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-merge-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const merge = (...more: string[]) => mergeOf(adapter, ...more);
const mergeOf = (dir: string, ...more: string[]) =>
  flex('merge', '--model', model, '--adapter', dir, '--out', join(folder, 'out'), ...more);

/** One line on standard error that says all of `words`, exit code 2, and nothing written in `folder`. */
async function expectRefused(command: Promise<Awaited<ReturnType<typeof flex>>>, ...words: string[]) {
  const before = readdirSync(folder);
  const { code, stdout, stderr } = await command;
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  const lines = stderr.split('\n').filter((line) => line.includes('flex:'));
  expect(lines, stderr).toHaveLength(1);
  for (const word of words) expect(lines[0]).toContain(word);
  expect(readdirSync(folder)).toEqual(before);
}

/** A copy of the model, changed. */
function copied(change: (dir: string) => void): string {
  const dir = join(folder, 'model');
  cpSync(model, dir, { recursive: true });
  change(dir);
  return dir;
}

describe('flex merge', () => {
  test('says what it wrote, as a line and as JSON', async () => {
    const { code, stdout } = await merge('--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      out: join(folder, 'out'),
      dtype: 'f32',
      rounded_to: null,
      changed: 6,
      tensors: 21,
      files: ['model.safetensors'],
    });
    const spoken = await flex(
      'merge',
      '--model',
      model,
      '--adapter',
      adapter,
      '--out',
      join(folder, 'b'),
      '--round-to',
      'nf4',
    );
    expect(spoken.stdout).toContain('21 tensors as f32');
    expect(spoken.stdout).toContain(
      'stored as f32, with the values of nf4 in the linear layers but the head',
    );
    expect(spoken.stdout).toMatch(
      /rounding to nf4 against what the adapter changed: [\d.]+ %; most in model\./,
    );
  });

  test('refuses a folder that holds something, a file, and an unknown dtype', async () => {
    writeFileSync(join(folder, 'out'), '');
    await expectRefused(merge(), '--out', 'is a file');
    rmSync(join(folder, 'out'));
    expect((await merge()).code).toBe(0);
    await expectRefused(merge(), '--out', 'is not empty');
    await expectRefused(merge('--dtype', 'f8'), '--dtype', 'f32, f16, bf16');
    await expectRefused(merge('--round-to', 'int4'), '--round-to', 'int8, nf4');
  });

  test('refuses a model that lacks a tensor, before anything is written', async () => {
    const dir = copied((to) => {
      const path = join(to, 'model.safetensors');
      const file = openSafetensors(path);
      const kept = [...file.tensors].filter(([name]) => name !== 'model.norm.weight');
      const tensors = kept.map(
        ([name, { dtype, shape }]) => [name, { dtype, shape, data: file.read(name) }] as const,
      );
      file.close();
      writeSafetensors(path, new Map(tensors));
    });
    await expectRefused(merge('--model', dir), dir, 'no tensor "model.norm.weight"');
  });

  test('refuses an adapter of another model, and one that is none', async () => {
    const dir = copied((to) => {
      const config = JSON.parse(readFileSync(join(to, 'config.json'), 'utf8'));
      writeFileSync(join(to, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: 1 }));
    });
    await expectRefused(merge('--model', dir), 'another model');
    await expectRefused(mergeOf(dir), 'adapter_config.json');
  });

  test('refuses a second adapter, a weight, and an empty name of the folder', async () => {
    await expectRefused(merge('--adapter', adapter), '--adapter', 'takes one adapter');
    await expectRefused(mergeOf(''), '--adapter', 'must be the folder');
    await expectRefused(mergeOf(`${adapter}@0.5`), '--adapter', 'without a weight');
    await expectRefused(merge('--out', ''), '--out', 'is empty');
  });
});

describe('flex verify-merge', () => {
  const rows = () => {
    const path = join(folder, 'rows.jsonl');
    const texts = [
      [1, 5, 9, 12, 7],
      [1, 3, 3, 20],
    ];
    writeFileSync(path, texts.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
    return path;
  };
  const verify = (...more: string[]) =>
    flex('verify-merge', '--model', model, '--adapter', adapter, '--device', 'cpu', ...more);

  test('tells for each type how the merged model differs, the wider the less', async () => {
    const { code, stdout } = await verify('--data', rows(), '--json');
    expect(code).toBe(0);
    const { agreement } = JSON.parse(stdout);
    expect(agreement.map(({ dtype }: { dtype: string }) => dtype)).toEqual([
      'f32',
      'f16',
      'bf16',
      'int8',
      'nf4',
    ]);
    for (const [i, found] of agreement.entries()) {
      expect(found.positions).toBe(9);
      expect(found.kl_max).toBeGreaterThanOrEqual(found.kl_mean);
      expect(Object.keys(found.rounding.weights)).toHaveLength(6);
      if (i > 0) expect(found.rounding.all).toBeGreaterThan(agreement[i - 1].rounding.all);
    }
    expect(agreement[0].kl_max).toBeLessThan(1e-9);
    expect(agreement[0].same_greedy).toBe(1);
    expect(agreement[4].kl_mean).toBeGreaterThan(agreement[1].kl_mean);
  });

  test('says so as a table, of the types that are asked for', async () => {
    const { stdout } = await verify('--data', rows(), '--dtype', 'bf16,f16,bf16');
    expect(stdout).toMatch(/bf16.*\n.*\n.*f16/);
    expect(stdout).not.toContain('nf4');
    expect(stdout).toContain('over 9 positions of 2 texts');
    expect(stdout).toMatch(/^most rounding \/ delta in layers\.\d\.mlp\.\w+: (bf16|f16) [\d.]+ %/m);
    const table = stdout.split('\n').filter((line) => /[│─]/.test(line));
    expect(Math.max(...table.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('refuses an unknown type, an id outside the vocabulary, and options of a benchmark without one', async () => {
    await expectRefused(verify('--dtype', 'f16,f8'), '--dtype', 'It must be of f32, f16');
    const path = rows();
    writeFileSync(path, '{"input_ids": [1, 24]}\n');
    await expectRefused(verify('--data', path), 'rows.jsonl:1', '0 to 23, got 24');
    await expectRefused(verify('--out', join(folder, 'x')), '--out', '--benchmark');
    await expectRefused(verify('--split', '1-2'), '--split', '--data');
    await expectRefused(verify('--adapter', adapter, '--data', path), '--adapter', 'takes one adapter');
  });

  test('refuses an unknown benchmark before it compares', async () => {
    const named = verify('--model', micro, '--prompt', 'x', '--benchmark', 'humanevl');
    await expectRefused(named, 'humanevl', 'humaneval');
  });
});

test.skipIf(withoutSandbox)(
  'flex verify-merge --benchmark evaluates both and compares them paired',
  async () => {
    const trained = join(folder, 'adapter');
    const lora = { rank: 1, alpha: 2, dropout: 0, targets: ['o_proj'], scaling: 'alpha/r' } as const;
    const targets = resolveTargets(lora.targets, linearSizes(readConfig(micro)));
    await writeAdapter(trained, initLora(openReference(), lora, targets, 0), lora);
    const problems = [0, 1].map((n) => ({
      task_id: `own/${n}`,
      prompt: `def add${n}(x):\n`,
      entry_point: `add${n}`,
      canonical_solution: `    return x + ${n}\n`,
      test: `def check(candidate):\n    assert candidate(1) == ${n + 1}\n`,
    }));
    const data = join(folder, 'own.jsonl');
    writeFileSync(data, problems.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const out = join(folder, 'evaluations');
    const verify = (...more: string[]) =>
      flex(
        ...[
          'verify-merge',
          '--model',
          micro,
          '--adapter',
          trained,
          '--device',
          'cpu',
          '--dtype',
          'nf4',
          '--quiet',
        ],
        ...['--prompt', 'def f(x):', '--benchmark', data, '--max-new-tokens', '2', '--out', out, ...more],
      );
    const { code, stdout } = await verify('--json');
    expect(code).toBe(0);
    const { nf4 } = JSON.parse(stdout).benchmark;
    expect(nf4).toMatchObject({ n: 2, differences: { 'pass@1': { difference: 0 } } });
    const parts = nf4.protocol_differences.map(({ part }: { part: string }) => part);
    expect(parts).toEqual(['decoding.merged']);
    const { stdout: shown } = await verify();
    expect(shown).toMatch(/│ nf4 +│ +0\.00 % │ +0\.00 % │ -65\.76 to 65\.76 % │ +1\.0000 │/);
    expect(
      Math.max(
        ...shown
          .split('\n')
          .filter((line) => /[│─]/.test(line))
          .map(({ length }) => length),
      ),
    ).toBeLessThan(81);
    expect(['unmerged', 'nf4'].every((name) => existsSync(join(out, name, 'results.json')))).toBe(true);
  },
);
