import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { lockFile } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { openPeftCase } from '@flex/fixtures';
import { type GgufContent, readGguf } from '@flex/gguf/testing';
import { linearSizes, openCheckpoint, readConfig } from '@flex/llama';
import { initLora, type LoraConfig, resolveTargets, writeAdapter } from '@flex/peft';
import { openReference } from '@flex/tensor';
import { toFloat32 } from '@flex/tensor/safetensors';
import { beforeEach, describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const micro = join(import.meta.dirname, '../../assets/micro');
const bin = join(import.meta.dirname, '../../bin/flex.mjs');

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

const exportGguf = (out: string, ...more: string[]) =>
  flex('export', 'gguf', '--model', micro, '--out', join(folder, out), ...more);

/** An adapter of the micro model whose A and B are random. */
async function adapterOf(changes: Partial<LoraConfig> = {}): Promise<string> {
  const dir = join(folder, 'adapter');
  const targets = ['q_proj', 'k_proj', 'up_proj', 'lm_head'];
  const lora: LoraConfig = {
    rank: 4,
    alpha: 6,
    dropout: 0,
    targets,
    scaling: 'alpha/r',
    ...changes,
    init: 'random',
  };
  const linears = linearSizes(readConfig(micro));
  await writeAdapter(dir, initLora(openReference(), lora, resolveTargets(lora.targets, linears), 5), lora);
  return dir;
}

test('of two processes that write one file at the same time one does, and the other is told', async () => {
  const args = ['export', 'gguf', '--model', micro, '--out', join(folder, 'o.gguf')];
  const exported = async () => {
    const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    return { code, stderr };
  };
  const both = await Promise.all([exported(), exported()]);
  const [done, told] = both.sort((a, b) => a.code - b.code);
  expect(done).toEqual({ code: 0, stderr: '' });
  expect(told.code).toBe(2);
  expect(told.stderr).toMatch(/o\.gguf(: is being written into by process \d+ on | is there already; name)/);
  expect(readdirSync(folder)).toEqual(['o.gguf']);
});

test('while another process writes a file, none is written beside it, and it is refused at once', async () => {
  const lock = lockFile(join(folder, 'o.gguf'));
  const { code, stderr } = await exportGguf('o.gguf');
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /o\.gguf: is being written into by process \d+ on .*; wait until it ends, or name another file\n$/,
  );
  expect(await exportGguf('other.gguf')).toMatchObject({ code: 0 });
  lock.release();
  expect(await exportGguf('o.gguf')).toMatchObject({ code: 0 });
  expect(readdirSync(folder)).toEqual(['o.gguf', 'other.gguf']);
});

/** W + α/r·B·A of a weight, as llama.cpp computes it. */
function withLora({ tensors, metadata }: GgufContent, name: string, w: Float32Array): Float64Array {
  const [a, b] = ['a', 'b'].map((part) => tensors.get(`${name}.lora_${part}`));
  const out = Float64Array.from(w);
  if (!a || !b) return out;
  const [rank, columns] = a.shape;
  const scale = (metadata['adapter.lora.alpha'] as number) / b.shape[1];
  for (let i = 0; i < out.length; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    for (let k = 0; k < rank; k++)
      out[i] += scale * b.values[row * rank + k] * a.values[k * columns + column];
  }
  return out;
}

test('a model is written as llama.cpp has it, with the numbers of its own dtype', async () => {
  const { code, stdout } = await exportGguf('m.gguf', '--json');
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    out: join(folder, 'm.gguf'),
    dtype: 'f16',
    tensors: 57,
    parameters: 1_730_176,
  });
  const { metadata, tensors } = readGguf(report.out);
  expect(metadata).toMatchObject({
    'general.architecture': 'llama',
    'general.name': 'micro',
    'general.file_type': 1,
    'llama.context_length': 1024,
    'llama.rope.freq_base': 1e6,
    'tokenizer.ggml.model': 'llama',
  });
  const checkpoint = openCheckpoint(micro);
  const own = Buffer.concat([...checkpoint.readChunks('model.embed_tokens.weight', 1 << 20)]);
  expect(toFloat32('F16', own)).toEqual(tensors.get('token_embd.weight')!.values);
  checkpoint.close();
  expect(readdirSync(folder)).toEqual(['m.gguf']);
});

test.each([
  [{}],
  [{ scaling: 'alpha/sqrt(r)', rankPattern: { q_proj: 2 }, alphaPattern: { up_proj: 3 } }],
] as const)('an adapter alone on the model is the merged model, whatever its ranks: %j', async (changes) => {
  const adapter = await adapterOf(changes);
  for (const [out, ...more] of [
    ['base.gguf', '--dtype', 'f32'],
    ['merged.gguf', '--dtype', 'f32', '--adapter', adapter],
    ['lora.gguf', '--adapter', adapter, '--adapter-only'],
  ]) {
    expect(await exportGguf(out, ...more)).toMatchObject({ code: 0, stderr: '' });
  }
  const [base, merged, lora] = ['base', 'merged', 'lora'].map((name) =>
    readGguf(join(folder, `${name}.gguf`)),
  );
  expect(lora.metadata).toMatchObject({ 'general.type': 'adapter', 'adapter.type': 'lora' });
  let changed = 0;
  for (const [name, { values }] of base.tensors) {
    const wanted = merged.tensors.get(name)!.values;
    changed += Number(wanted.some((x, i) => x !== values[i]));
    const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (const [i, x] of withLora(lora, name, values).entries()) {
      if (Math.abs(x - wanted[i]) > 1e-6 * largest) expect([name, i, x]).toEqual([name, i, wanted[i]]);
    }
  }
  expect([changed, lora.tensors.size]).toEqual([6 * 3 + 1, 2 * (6 * 3 + 1)]);
});

test('an embedding’s adapter has its A as a table, whose rows are looked up', async () => {
  const { dir, model } = openPeftCase('embedding');
  const out = join(folder, 'lora.gguf');
  const { code, stderr } = await flex(
    'export',
    'gguf',
    '--model',
    model,
    '--adapter',
    dir,
    '--adapter-only',
    '--out',
    out,
  );
  expect(code, stderr).toBe(0);
  const { tensors } = readGguf(out);
  const { vocabSize, hiddenSize } = readConfig(model);
  const [a, b] = ['a', 'b'].map((part) => tensors.get(`token_embd.weight.lora_${part}`)!.shape);
  expect([a[0], b[0], a[1]]).toEqual([vocabSize, hiddenSize, b[1]]);
});

describe('is refused in a line, and nothing is written:', () => {
  const refused = async (line: RegExp, ...args: string[]) => {
    const before = readdirSync(folder).sort();
    const { code, stdout, stderr } = await flex('export', 'gguf', '--out', join(folder, 'o.gguf'), ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(line);
    expect(readdirSync(folder).sort()).toEqual(before);
  };

  test('a link that leads nowhere', async () => {
    symlinkSync(join(folder, 'nowhere'), join(folder, 'o.gguf'));
    await refused(/o\.gguf is there already/, '--model', micro);
  });

  test('a file that is there', async () => {
    writeFileSync(join(folder, 'o.gguf'), 'mine');
    await refused(/o\.gguf is there already/, '--model', micro);
  });

  test('a folder that is not', async () => {
    const out = join(folder, 'none', 'o.gguf');
    const { code, stderr } = await flex('export', 'gguf', '--out', out, '--model', micro);
    expect([code, existsSync(out)]).toEqual([2, false]);
    expect(stderr).toMatch(/o\.gguf: cannot be written/);
  });

  test('no adapter where it is to be exported alone, and one as q8_0', async () => {
    await refused(/--adapter-only: there is no --adapter/, '--model', micro, '--adapter-only');
    const adapter = await adapterOf();
    await refused(
      /f32, f16 or bf16/,
      '--model',
      micro,
      '--adapter',
      adapter,
      '--adapter-only',
      '--dtype',
      'q8_0',
    );
  });

  test('an adapter that is more than W + s·B·A', async () => {
    const { dir, model } = openPeftCase('dora');
    await refused(/the adapter has DoRA/, '--model', model, '--adapter', dir, '--adapter-only');
  });
});
