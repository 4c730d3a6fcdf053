// Writes adapters for `fixtures/peft/make.py --check OUT`, each with its logits as computed here: those that PEFT made,
// written again, and some that are trained here. From the repository root: pnpm exec tsx <this file> OUT
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openPeftCase, peftCases, peftInputs, peftModel } from '@flex/fixtures';
import { forward, loadModel, logits } from '@flex/llama';
import { combineAdapters, openAdapter, resolveLora, withAdapter, writeAdapter } from '@flex/peft';
import { openWasm, scope, tensor } from '@flex/tensor';
import { writeSafetensors } from '@flex/tensor/safetensors';
import { loadConfig, train } from '../index.ts';

const out = resolve(process.argv[2]);
const backend = openWasm();
const { input_ids, labels } = peftInputs();

/** Leaves the logits beside an adapter that was written. */
async function addLogits(dir: string, base: string): Promise<void> {
  const model = await loadModel(backend, base, { dtype: 'f32' });
  const adapter = await openAdapter(model, dir);
  const adapted = withAdapter(model, adapter, resolveLora(adapter.config, adapter.params, model));
  const ids = tensor(
    backend,
    Int32Array.from(input_ids.flat()),
    [input_ids.length, input_ids[0].length],
    'i32',
  );
  const result = scope(() => logits(adapted, forward(adapted, ids)));
  const data = Float32Array.from(await result.data());
  writeSafetensors(
    join(dir, 'expected.safetensors'),
    new Map([['logits', { dtype: 'F32', shape: result.shape, data }]]),
  );
}

for (const name of peftCases) {
  const { dir, model: base } = openPeftCase(name);
  const model = await loadModel(backend, base, { dtype: 'f32' });
  const { params, whole, config, baseModel } = await openAdapter(model, dir);
  await writeAdapter(join(out, 'again', name), params, config, { whole, baseModel });
  await addLogits(join(out, 'again', name), base);
}

const base = await loadModel(backend, peftModel('base'), { dtype: 'f32' });
for (const how of ['cat', 'linear'] as const) {
  const parts = ['two/one', 'two/other'].map((name) => openAdapter(base, openPeftCase(name).dir));
  const weighted = (await Promise.all(parts)).map((adapter, i) => ({ adapter, weight: [0.5, -1.5][i] }));
  const { params, config } = combineAdapters(weighted, how);
  const dir = join(out, 'sums', how);
  await writeAdapter(dir, params, config, { baseModel: 'base' });
  await addLogits(dir, peftModel('base'));
}

const runs: Record<string, readonly ['base' | 'tied', ...string[]]> = {
  globs: ['base', 'lora.targets=["*.[01].mlp.*"]', 'lora.scaling=alpha/sqrt(r)'],
  'alpha-itself': ['base', 'lora.targets=attention', 'lora.scaling=alpha'],
  regex: [
    'base',
    'lora.targets=".*(q|v)_proj"',
    'lora.rank_pattern={q_proj: 3}',
    'lora.alpha_pattern={v_proj: 1}',
  ],
  limits: [
    'base',
    'lora.targets=all-linear',
    'lora.exclude_modules=[o_proj]',
    'lora.layers_to_transform=[1]',
  ],
  dora: ['base', 'lora.targets=[q_proj, lm_head]', 'lora.dora=true'],
  bias: ['base', 'lora.targets=[q_proj, down_proj]', 'lora.lora_bias=true'],
  gaussian: ['base', 'lora.targets=mlp', 'lora.init=gaussian'],
  orthogonal: ['base', 'lora.targets=mlp', 'lora.init=orthogonal'],
  random: ['base', 'lora.targets=mlp', 'lora.init=random'],
  pissa: ['base', 'lora.targets=[q_proj, up_proj]', 'lora.init=pissa'],
  olora: ['base', 'lora.targets=[q_proj, up_proj]', 'lora.init=olora'],
  'olora-dora': [
    'base',
    'lora.targets=[q_proj, up_proj]',
    'lora.init=olora',
    'lora.dora=true',
    'lora.scaling=alpha/sqrt(r)',
    'lora.alpha_pattern={up_proj: 3}',
    'optimizer.lora_plus_ratio=4',
  ],
  everything: [
    'base',
    'lora.targets=[embed_tokens, q_proj]',
    'lora.modules_to_save=[model.norm, layers.1.mlp]',
    'lora.trainable_token_indices={lm_head: [5, 7]}',
  ],
  'embedding-tied': ['tied', 'lora.targets=[embed_tokens, q_proj]', 'lora.ensure_weight_tying=true'],
  'saved-tied': ['tied', 'lora.modules_to_save=[lm_head]', 'lora.ensure_weight_tying=true'],
  'saved-untied': ['tied', 'lora.modules_to_save=[embed_tokens]'],
  'tokens-tied': ['tied', 'lora.trainable_token_indices=[7, 5]'],
  'tokens-both': ['tied', 'lora.trainable_token_indices={embed_tokens: [7, 5], lm_head: [7, 5]}'],
  'tokens-apart': ['tied', 'lora.trainable_token_indices={embed_tokens: [7, 5], lm_head: [6]}'],
  'head-tied': ['tied', 'lora.targets=[lm_head]'],
};

mkdirSync(out, { recursive: true });
const data = join(out, 'data.jsonl');
writeFileSync(
  data,
  input_ids.map((ids, i) => JSON.stringify({ input_ids: ids, labels: labels[i] })).join('\n'),
);
for (const [name, [base, ...overrides]] of Object.entries(runs)) {
  const set = [
    `model=${peftModel(base)}`,
    `data.source=${data}`,
    `out=${join(out, 'runs', name)}`,
    'dtype=f32',
  ];
  const rest = ['lora.rank=2', 'lora.dropout=0', 'optimizer.lr=0.02', 'train.epochs=6', 'regularizer=none'];
  const config = await loadConfig({ overrides: [...set, ...rest, ...overrides] });
  await train(config, { backend, overwrite: true });
  await addLogits(join(config.out, 'adapter'), peftModel(base));
}
