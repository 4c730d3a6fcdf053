// A random directory with the widths of a model of 7B, its files and a tokenizer.
// tsx fabricate.ts DIR [--model code-llama|granite-code|qwen2.5-coder|qwen3|mistral|starcoder2|gemma]
//   [--layers 32] [--dtype BF16|F16|F32] [--seed 0] [--shard-bytes 10e9]
import { parseArgs } from 'node:util';
import { fabricateModel, type sevenBillionConfigs } from '@flex/llama/testing';
import type { FloatDType } from '@flex/tensor/safetensors';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'code-llama' },
    layers: { type: 'string', default: '32' },
    dtype: { type: 'string', default: 'BF16' },
    seed: { type: 'string', default: '0' },
    'shard-bytes': { type: 'string', default: '10e9' },
  },
});
const [dir] = positionals;
const started = performance.now();
const { files, parameters, bytes } = fabricateModel(dir, {
  model: values.model as keyof typeof sevenBillionConfigs,
  dtype: values.dtype as FloatDType,
  maxShardBytes: Number(values['shard-bytes']),
  seed: Number(values.seed),
  config: { num_hidden_layers: Number(values.layers) },
});
const seconds = (performance.now() - started) / 1000;
console.log(
  `${dir}: ${parameters} parameters, ${(bytes / 1e9).toFixed(2)} GB in ${files.length} files, ${seconds.toFixed(0)} s`,
);
