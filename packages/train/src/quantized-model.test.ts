import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { valueAndGrad } from '@flex/autograd';
import { ConfigError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { loadModel, lossSum, newModel } from '@flex/llama';
import { writeTinyModel } from '@flex/llama/testing';
import {
  type Adapters,
  initAdapter,
  type LoraConfig,
  resolveLora,
  resolveTargets,
  withAdapter,
} from '@flex/peft';
import { openWasm, scope, type Tensor, tensor } from '@flex/tensor';
import { expectClose } from '@flex/tensor/testing';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfig, printConfig } from './config.ts';
import { train } from './loop.ts';
import { planRun } from './plan-run.ts';
import { readManifest } from './run-folder.ts';
import { tinyTraining } from './testing/index.ts';

const backend = openWasm({ threads: 1 });
afterAll(() => backend.close());

describe('the configuration', () => {
  const rest = ['data.source=d', 'out=o'];

  test('takes a model by itself, or a section with how it is stored', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'm'));
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), `${text}\ndata: {source: d}\nout: o\n`);
      return join(folder, name);
    };
    const [plain, section] = [file('a.yaml', 'model: m'), file('b.yaml', 'model: {path: m, quantize: int8}')];
    const cases: [string, string[], string | null][] = [
      [plain, [], null],
      [plain, ['model.quantize=nf4'], 'nf4'],
      [section, [], 'int8'],
      [section, ['model.quantize=nf4'], 'nf4'],
      [section, ['model.quantize=null'], null],
      [section, [`model=${join(folder, 'm')}`], null],
      [section, [`model=${join(folder, 'm')}`, 'model.quantize=nf4'], 'nf4'],
    ];
    for (const [from, overrides, quantize] of cases) {
      const config = await loadConfig({ file: from, overrides });
      // Relative to the file that says it, whatever the command line adds.
      expect([config.model, config.quantize]).toEqual([join(folder, 'm'), quantize]);
      const again = join(folder, 'again.yaml');
      writeFileSync(again, printConfig(config));
      expect(await loadConfig({ file: again })).toEqual(config);
    }
  });

  test.each([
    ['model.quantize=nf5', 'override "model.quantize=nf5": model.quantize must be int8 or nf4, got "nf5"'],
    [
      'model.quantise=nf4',
      'override "model.quantise=nf4": model.quantise is not a key; did you mean model.quantize?',
    ],
    ['model={quantize: nf4}', 'override "model={quantize: nf4}": model is missing; it must be the path'],
    ['model=7', 'override "model=7": model must be the path of a Hugging Face directory'],
    ['quantize=nf4', 'override "quantize=nf4": quantize is not a key'],
  ])('refuses %s in a line', async (override, line) => {
    const loaded = loadConfig({ overrides: ['model=m', ...rest, override] });
    await expect(loaded).rejects.toThrow(ConfigError);
    await expect(loadConfig({ overrides: ['model=m', ...rest, override] })).rejects.toThrow(line);
  });
});

const micro = join(import.meta.dirname, '../../cli/assets/micro');
const loras: readonly (Partial<LoraConfig> & object)[] = [
  { targets: 'all-linear' },
  { targets: 'mlp', dora: true },
  { targets: ['q_proj'], init: 'pissa' },
];

test.each(loras)(
  'an adapter %j on nf4 has the loss and gradients of the numbers that it stands for',
  async (given) => {
    const stored = await loadModel(backend, micro, { dtype: 'f32', quantize: 'nf4' });
    const weights = new Map<string, Tensor>();
    for (const [name, weight] of stored.weights)
      weights.set(name, tensor(backend, await weight.data(), weight.shape));
    const plain = newModel(backend, micro, stored.config, { weights, quantized: null, warnings: [] });
    const lora = { rank: 2, alpha: 4, dropout: 0, scaling: 'alpha/r', ...given } as LoraConfig;
    const input_ids = Int32Array.from({ length: 24 }, (_, i) => 3 + ((29 * i) % 400));
    const batch = { b: 2, t: 12, input_ids, labels: input_ids };
    const found = await Promise.all(
      [stored, plain].map(async (model) => {
        const { params, removed } = await initAdapter(
          model,
          lora,
          resolveTargets(lora.targets, model.linears),
          3,
        );
        const resolved = resolveLora(lora, params, { weights: model.weights, removed });
        const loss = (adapters: Adapters) =>
          lossSum(withAdapter(model, { params: adapters, whole: new Map() }, resolved), batch);
        const { value, grads } = scope(() => valueAndGrad(loss, params));
        const pairs = [...grads.values()].flatMap(({ a, b }) => [a, b]);
        return Promise.all([value, ...pairs].map((t) => t.data()));
      }),
    );
    found[0].forEach((x, i) => {
      expectClose(x, found[1][i], 1e-4, `gradient ${i}`);
    });
  },
);

test('a run on nf4 trains, says so in its manifest, and goes on only as it was', async () => {
  const folder = temporaryFolder();
  const overrides = [...tinyTraining(folder, { intermediate_size: 16 }), `out=${join(folder, 'out')}`];
  const load = (...more: string[]) => loadConfig({ overrides: [...overrides, ...more] });
  const config = await load('model.quantize=nf4', 'train.max_steps=2');
  await train(config, { backend });
  const { protocol, provenance } = readManifest(config.out);
  const { dtype, errors } = protocol.quantized as { dtype: string; errors: Record<string, number> };
  expect([dtype, Object.keys(errors).length, provenance.dtype]).toEqual(['nf4', 14, 'nf4, else f16']);
  for (const error of Object.values(errors)) expect(error).toBeGreaterThan(0.01);
  expect(readFileSync(join(config.out, 'config.yaml'), 'utf8')).toContain('quantize: nf4');
  const otherwise = train(await load('model.quantize=int8', 'train.max_steps=4'), { backend, resume: true });
  await expect(otherwise).rejects.toThrow(/is one with another configuration/);
  const summary = await train(await load('model.quantize=nf4', 'train.max_steps=4'), {
    backend,
    resume: true,
  });
  expect([summary.status, summary.steps]).toEqual(['done', 4]);
});

test('a plan counts codes as they are stored, and advises them where a model can have them', async () => {
  const waysOf = async (intermediate: number, quantize: string) => {
    const folder = temporaryFolder();
    const overrides = tinyTraining(folder, { intermediate_size: intermediate });
    const config = await loadConfig({
      overrides: [...overrides, `out=${join(folder, 'out')}`, `model.quantize=${quantize}`],
    });
    const memory = async () => ({ bytes: 1, of: 'a test' });
    const { memory: plan, refusal } = await planRun(config, {
      backend: { counted: backend.counted, memory },
    });
    return { weights: plan!.weights, refusal };
  };
  const [f16, nf4, odd] = [await waysOf(16, 'null'), await waysOf(16, 'nf4'), await waysOf(12, 'null')];
  const bytesOfModel = async (quantize: 'nf4' | null) => {
    const folder = join(temporaryFolder(), 'model');
    writeTinyModel(folder, { intermediate_size: 16 });
    const before = backend.stats.liveBytes;
    const model = await loadModel(backend, folder, { dtype: 'f16', quantize });
    const bytes = backend.stats.liveBytes - before;
    model.dispose();
    return bytes;
  };
  expect(f16.weights).toBe(await bytesOfModel(null));
  expect(nf4.weights).toBe(await bytesOfModel('nf4'));
  for (const { refusal } of [f16, nf4, odd]) expect(refusal?.message).not.toContain('multiple of 8');
});
