import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockFolder } from '@flex/base';
import {
  describeShared,
  goldenModels,
  goldens,
  openGolden,
  openPeftCase,
  peftCases,
  peftInputs,
} from '@flex/fixtures';
import {
  type CausalLM,
  forward,
  loadModel,
  logits,
  lossSum,
  openCheckpoint,
  scoredTokens,
} from '@flex/llama';
import { storageTypes } from '@flex/peft';
import { openReference, scope, tensor } from '@flex/tensor';
import { openSafetensors, toFloat32, writeSafetensors } from '@flex/tensor/safetensors';
import { relativeError } from '@flex/tensor/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadMerged } from './merged-model.ts';
import { mergeDTypes, ownDType, writeMerged } from './write-merged.ts';

const merged = join(import.meta.dirname, '../../../fixtures/merge/merged.json');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-merge-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A weight of a folder, in f32. */
function weightOf(dir: string, name: string): Float32Array {
  const checkpoint = openCheckpoint(dir);
  const bytes = Buffer.concat([...checkpoint.readChunks(name, 1 << 20)]);
  const values = toFloat32(checkpoint.spec(name).dtype, bytes);
  checkpoint.close();
  return values;
}

function open(dir: string): Promise<CausalLM> {
  return loadModel(openReference(), dir, { dtype: 'f32' });
}

async function logitsOf(model: CausalLM, rows: readonly (readonly number[])[]): Promise<Float32Array> {
  const ids = tensor(model.backend, Int32Array.from(rows.flat()), [rows.length, rows[0].length], 'i32');
  return Float32Array.from(await scope(() => logits(model, forward(model, ids))).data());
}

describeShared(goldens, 'a merged model of the reference values', () => {
  const samples = JSON.parse(readFileSync(merged, 'utf8')) as Record<
    string,
    Record<string, Record<string, number[]>>
  >;
  const precision = { f32: 2 ** -23, f16: 2 ** -10, bf16: 2 ** -7 };

  describe.each(goldenModels)('%s', (name) => {
    const golden = openGolden(name);
    const [model, adapter] = [golden.path('model'), golden.path('adapter')];

    test.each(mergeDTypes)('as %s is merge_and_unload’s, to the rounding of that type', async (dtype) => {
      const out = join(folder, dtype);
      await writeMerged({ model, adapter, out, dtype });
      for (const [made, tensors] of Object.entries(samples[name])) {
        // As f32, PEFT's sum is rounded here once; made in its own type, each side is.
        if (made !== 'f32' && made !== dtype) continue;
        for (const [key, values] of Object.entries(tensors)) {
          const found = weightOf(out, key);
          const largest = found.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
          values.forEach((value, k) => {
            const error = Math.abs(found[(k * 7919 + 13) % found.length] - value);
            const spacing = precision[dtype] * Math.abs(value) + 2 ** -24;
            expect(error, key).toBeLessThanOrEqual((made === dtype ? 1 : 0.5) * spacing + largest * 2 ** -22);
          });
        }
      }
    });

    test('has PEFT’s losses', async () => {
      const { input_ids, labels } = golden.json<Record<string, number[][]>>('inputs.json');
      const batch = {
        b: input_ids.length,
        t: input_ids[0].length,
        input_ids: Int32Array.from(input_ids.flat()),
        labels: Int32Array.from(labels.flat()),
      };
      const losses = golden.json<Record<string, number>>('loss.json');
      // The reference in f16 has rotary frequencies in f16 as well, which ours has not: 4e-5 of its loss.
      for (const [dtype, within] of [
        ['f32', 2e-6],
        ['f16', 5e-5],
      ] as const) {
        const out = join(folder, dtype);
        await writeMerged({ model, adapter, out, dtype });
        const merged = await open(out);
        const sum = await scope(() => lossSum(merged, batch)).item();
        expect(Math.abs(sum / scoredTokens(batch) - losses[`merged_${dtype}`]), dtype).toBeLessThan(within);
      }
    });
  });
});

describe.each(peftCases.filter((name) => name !== 'lora-bias'))('PEFT’s %s', (name) => {
  const { input_ids } = peftInputs();

  test('merged has the logits of the unmerged adapter, and tied embeddings where it leaves them equal', async () => {
    const { dir: adapter, model, logits } = openPeftCase(name);
    const out = join(folder, 'merged');
    await writeMerged({ model, adapter, out, dtype: 'f32' });
    const written = await open(out);
    expect(written.warnings).toEqual([]);
    expect(relativeError(await logitsOf(written, input_ids), logits)).toBeLessThan(2e-5);
    const wasTied = (await open(model)).config.tieWordEmbeddings;
    const isCut = ['head-tied', 'embedding-tied', 'saved-head-tied', 'saved-tied'].includes(name);
    expect(written.config.tieWordEmbeddings).toBe(wasTied && !isCut);
    const loaded = await loadMerged(openReference(), model, { adapter, storage: 'f32', dtype: 'f32' });
    expect(await logitsOf(loaded, input_ids)).toEqual(await logitsOf(written, input_ids));
  });
});

describe('a merged folder', () => {
  const { dir: adapter, model } = openPeftCase('dora');

  test('has the other files of the model’s, its config.json but for the dtype, and a record of its making', async () => {
    const source = join(folder, 'source');
    cpSync(model, source, { recursive: true });
    const config = readFileSync(join(model, 'config.json'), 'utf8').replace(
      '{',
      '{\n  "rope_theta": 10000.0,',
    );
    writeFileSync(join(source, 'config.json'), config);
    for (const name of [
      'tokenizer.json',
      'tokenizer.model',
      'generation_config.json',
      'LICENSE.txt',
      'optimizer.pt',
    ])
      writeFileSync(join(source, name), name === 'generation_config.json' ? '{}' : name);
    const out = join(folder, 'out');
    mkdirSync(out);
    const report = await writeMerged({ model: source, adapter, out, dtype: 'bf16' });
    expect(readdirSync(out).sort()).toEqual([
      'LICENSE.txt',
      'config.json',
      'generation_config.json',
      'merge.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer.model',
    ]);
    const key = /"(torch_)?dtype": "float32"/;
    expect(config).toMatch(key);
    expect(readFileSync(join(out, 'config.json'), 'utf8')).toBe(
      config.replace(key, (found) => found.replace('float32', 'bfloat16')),
    );
    const record = JSON.parse(readFileSync(join(out, 'merge.json'), 'utf8'));
    expect(record).toMatchObject({
      kind: 'flex-merge',
      dtype: 'bf16',
      rounded_to: null,
      changed: report.changed,
    });
    expect(record.provenance).toMatchObject({ merged: 'bf16', device: null, model: { path: source } });
    expect(record.provenance.adapters[0].files.map(({ path }: { path: string }) => path)).toContain(
      join(adapter, 'adapter_config.json'),
    );
    expect(readdirSync(folder).sort()).toEqual(['out', 'source']);
  });

  test('of a config.json without a dtype gets one, that of the weights', async () => {
    const source = join(folder, 'source');
    cpSync(model, source, { recursive: true });
    const {
      dtype: _,
      torch_dtype: __,
      ...rest
    } = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
    writeFileSync(join(source, 'config.json'), JSON.stringify(rest));
    const out = join(folder, 'out');
    expect((await writeMerged({ model: source, adapter, out })).dtype).toBe('f32');
    expect((await open(out)).config.torchDtype).toBe('f32');
  });

  test('is whole or not there: a failure leaves nothing, and what one that was killed left goes', async () => {
    const out = join(folder, 'out');
    mkdirSync(join(folder, 'out/.partial'), { recursive: true });
    writeFileSync(join(folder, 'out/.partial/config.json'), '{}');
    const name = 'model.layers.0.mlp.up_proj.weight';
    const source = join(folder, 'source');
    cpSync(model, source, { recursive: true });
    const file = openSafetensors(join(model, 'model.safetensors'));
    const tensors = [...file.tensors].map(([key, { dtype, shape }]) => {
      const data = file.read(key);
      if (key === name) new Float32Array(data.buffer)[3] = 70000;
      return [key, { dtype, shape, data }] as const;
    });
    file.close();
    writeSafetensors(join(source, 'model.safetensors'), new Map(tensors));
    await expect(writeMerged({ model: source, adapter, out, dtype: 'f16' })).rejects.toThrow(
      `tensor "${name}" would hold 70000, and the largest f16 is 65504`,
    );
    expect(readdirSync(out)).toEqual([]);
    const lock = lockFolder(out);
    await expect(writeMerged({ model: source, adapter, out })).rejects.toThrow('is being written into by');
    lock.release();
    expect((await writeMerged({ model: source, adapter, out, dtype: 'bf16' })).dtype).toBe('bf16');
  });

  test('is the same, byte for byte, each time, and its record but for when', async () => {
    const outs = ['a', 'b'].map((name) => join(folder, name));
    for (const out of outs) await writeMerged({ model, adapter, out, dtype: 'f16' });
    const [digest, again] = outs.map(
      (out) => JSON.parse(readFileSync(join(out, 'merge.json'), 'utf8')).provenance.digest,
    );
    expect(again).toBe(digest);
    for (const name of readdirSync(outs[0]).filter((name) => name !== 'merge.json')) {
      const [a, b] = outs.map((out) => readFileSync(join(out, name)));
      expect(a.equals(b), name).toBe(true);
    }
  });

  test('rounded to int8 or nf4 has the values of model.quantize in the linear layers, as the dtype, and tells what it lost', async () => {
    const plain = join(folder, 'plain');
    await writeMerged({ model, adapter, out: plain, dtype: 'f32' });
    for (const roundTo of ['int8', 'nf4'] as const) {
      const out = join(folder, roundTo);
      const { rounding } = await writeMerged({ model, adapter, out, dtype: 'f32', roundTo });
      const loaded = await loadMerged(openReference(), model, { adapter, storage: roundTo, dtype: 'f32' });
      const { input_ids } = peftInputs();
      expect(await logitsOf(await open(out), input_ids)).toEqual(await logitsOf(loaded, input_ids));
      const nf4 = new Set(weightOf(out, 'model.layers.0.self_attn.q_proj.weight').subarray(0, 64));
      expect(nf4.size).toBeLessThanOrEqual(roundTo === 'nf4' ? 16 : 64);
      const quantized = await loadModel(openReference(), plain, { dtype: 'f32', quantize: roundTo });
      expect(Object.keys(quantized.quantized!.errors).length).toBeGreaterThan(0);
      for (const path of Object.keys(quantized.quantized!.errors)) {
        const weight = quantized.weights.get(`${path}.weight`)!;
        expect(weightOf(out, `${path}.weight`), path).toEqual(Float32Array.from(await weight.data()));
      }
      expect(weightOf(out, 'lm_head.weight')).toEqual(weightOf(model, 'lm_head.weight'));
      expect(rounding?.all).toBeGreaterThan(roundTo === 'nf4' ? 0.05 : 0.002);
      expect(rounding?.worst?.error).toBeGreaterThanOrEqual(rounding?.all ?? 1);
    }
  });
});

test('an adapter that no weight can hold is refused by its name', async () => {
  const { dir: adapter, model } = openPeftCase('lora-bias');
  await expect(writeMerged({ model, adapter, out: join(folder, 'out') })).rejects.toThrow(
    'model.layers.0.self_attn.q_proj has a bias (lora_bias)',
  );
  expect(readdirSync(folder)).toEqual([]);
  expect(storageTypes).toContain('nf4');
});

test('what config.json names no dtype for is stored as the embedding, or the head where that stands for both', () => {
  for (const only of ['model.embed_tokens.weight', 'lm_head.weight']) {
    const spec = (name: string) => ({ dtype: name === only ? 'BF16' : 'F32', shape: [1], bytes: 2 });
    const base = { has: (name: string) => name === only, spec };
    const model = { config: { torchDtype: null }, base } as unknown as Parameters<typeof ownDType>[0];
    expect(ownDType(model)).toBe('bf16');
  }
});
