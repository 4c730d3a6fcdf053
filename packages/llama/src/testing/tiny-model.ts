import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { uniform } from '@flex/tensor';
import { type TensorToWrite, writeSafetensors } from '@flex/tensor/safetensors';

/** The keys that config.json must have, of a model of two layers. */
const config = {
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  vocab_size: 10,
  max_position_embeddings: 16,
  eos_token_id: null,
};

const shapesOf = (f: number): Readonly<Record<string, readonly number[]>> => ({
  'model.embed_tokens.weight': [10, 8],
  ...Object.assign({}, ...[0, 1].map((layer) => layerShapes(`model.layers.${layer}`, f))),
  'model.norm.weight': [8],
  'lm_head.weight': [10, 8],
});

function layerShapes(path: string, f: number): Record<string, readonly number[]> {
  return {
    ...Object.fromEntries(
      ['q', 'k', 'v', 'o'].map((name) => [`${path}.self_attn.${name}_proj.weight`, [8, 8]]),
    ),
    [`${path}.mlp.gate_proj.weight`]: [f, 8],
    [`${path}.mlp.up_proj.weight`]: [f, 8],
    [`${path}.mlp.down_proj.weight`]: [8, f],
    [`${path}.input_layernorm.weight`]: [8],
    [`${path}.post_attention_layernorm.weight`]: [8],
  };
}

/**
 * Writes a Llama with weights of its own in [−1, 1), and an `lm_head`. `changes` are those of config.json, of which
 * intermediate_size changes the shapes too; `edit` changes its tensors, all F32.
 */
export function writeTinyModel(
  dir: string,
  changes: { readonly intermediate_size?: number; readonly max_position_embeddings?: number } & object = {},
  edit: (tensors: Map<string, Float32Array>) => void = () => {},
): void {
  const shapes = shapesOf(changes.intermediate_size ?? config.intermediate_size);
  const tensors = new Map(
    Object.entries(shapes).map(([name, shape], i) => {
      const count = shape.reduce((product, n) => product * n, 1);
      return [name, Float32Array.from(uniform(count, { key: [7, i], counter: [0, 0] }), (u) => 2 * u - 1)];
    }),
  );
  edit(tensors);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, ...changes }));
  const file = [...tensors].map(([name, data]): [string, TensorToWrite] => [
    name,
    { dtype: 'F32', shape: shapes[name], data },
  ]);
  writeSafetensors(join(dir, 'model.safetensors'), new Map(file));
}
