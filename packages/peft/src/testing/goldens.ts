import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Backend } from '@flex/tensor';
import { openSafetensors, toFloat32 } from '@flex/tensor/safetensors';
import { readAdapterTensors } from '../adapter-file.ts';
import type { Adapters } from '../adapters.ts';
import type { Linears } from '../targets.ts';

// For this package's own tests: reference values that lie beside the repository, and may be absent.

const folder = join(import.meta.dirname, '../../../../../shared/fixtures/goldens');

/** For `describe.skipIf`. */
export const goldensMissing = !existsSync(folder);

export const goldenModels = ['gqa-f32', 'mha-f16', 'gqa-bf16', 'tied-f32'] as const;

/** The path of a file or folder among the goldens. */
export function golden(model: string, path: string): string {
  return join(folder, model, path);
}

// biome-ignore lint/suspicious/noExplicitAny: a file whose content each test knows
export function goldenJson(model: string, path: string): any {
  return JSON.parse(readFileSync(golden(model, path), 'utf8'));
}

/** The tensors of a safetensors file, as f32 numbers. */
export function goldenTensors(
  model: string,
  path: string,
): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const file = openSafetensors(golden(model, path));
  const found = [...file.tensors].map(
    ([name, { dtype, shape }]) => [name, { shape, data: toFloat32(dtype, file.read(name)) }] as const,
  );
  file.close();
  return new Map(found);
}

/** A model's adapter on a backend. */
export function goldenAdapters(backend: Backend, model: string): Adapters {
  return readAdapterTensors(backend, golden(model, 'adapter')).params;
}

/** The linear layers of a Llama of this shape, in model order. */
export function llamaLinears(layers: number, e = 64, f = 172, kv = 32, v = 320): Linears {
  const linears = new Map<string, { out: number; in: number }>();
  for (let i = 0; i < layers; i++) {
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'o_proj']) {
      const out = name === 'k_proj' || name === 'v_proj' ? kv : e;
      linears.set(`model.layers.${i}.self_attn.${name}`, { out, in: e });
    }
    for (const name of ['gate_proj', 'up_proj'])
      linears.set(`model.layers.${i}.mlp.${name}`, { out: f, in: e });
    linears.set(`model.layers.${i}.mlp.down_proj`, { out: e, in: f });
  }
  return linears.set('lm_head', { out: v, in: e });
}
