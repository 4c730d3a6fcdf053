import { ConfigError } from '@flex/base';
import type { Tensor } from '@flex/tensor';

/** What a module's W + s·B·A adds to W: a f32 [r, in] and b f32 [out, r]. */
export type AdapterPair = { readonly a: Tensor; readonly b: Tensor };

/** Adapters by module path, such as `model.layers.0.mlp.gate_proj`, in model order. */
export type Adapters = ReadonlyMap<string, AdapterPair>;

/** The tensors of adapters by name, each module's `<path>.a` before its `<path>.b`: what an optimizer takes. */
export function flattenAdapters(adapters: Adapters): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [path, { a, b }] of adapters) tensors.set(`${path}.a`, a).set(`${path}.b`, b);
  return tensors;
}

/** The adapters that `flattenAdapters` gave the names of. Throws ConfigError for a tensor without its partner. */
export function unflattenAdapters(tensors: ReadonlyMap<string, Tensor>): Map<string, AdapterPair> {
  const adapters = new Map<string, AdapterPair>();
  for (const [name, a] of tensors) {
    const path = name.slice(0, -'.a'.length);
    const b = tensors.get(`${path}.b`);
    if (name.endsWith('.a') && b) adapters.set(path, { a, b });
  }
  const paired = flattenAdapters(adapters);
  const alone = [...tensors.keys()].find((name) => !paired.has(name));
  if (alone !== undefined) throw new ConfigError(`adapter: "${alone}" is no a or b of a pair`);
  return adapters;
}
