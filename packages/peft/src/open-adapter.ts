import { type Backend, eachTensor } from '@flex/tensor';
import { type Adapter, type AdapterTarget, readAdapter } from './adapter-file.ts';
import { lowRankOf } from './adapters.ts';
import { removedBy } from './init-lora.ts';
import { plainAdapter } from './plain-adapter.ts';
import type { ModelWeights } from './whole-weights.ts';

/**
 * Reads a PEFT adapter for a model, as `readAdapter` does. One whose training began with `pissa` or `olora`
 * is relative to what they leave of the model: the decomposition is made again, as PEFT does, and the
 * adapter comes as the plain one of twice the rank, with a warning that says so.
 */
export async function openAdapter(
  model: AdapterTarget & { readonly backend: Backend; readonly weights: ModelWeights },
  dir: string,
): Promise<Adapter> {
  const adapter = readAdapter(model.backend, dir, model);
  const { params, config, warnings } = adapter;
  const removed = await removedBy(config, [...params.keys()], model.weights);
  if (!removed) return adapter;
  const plain = plainAdapter(params, removed, config);
  eachTensor([lowRankOf(params), removed], (t) => t.dispose());
  const line = `${dir}: began as ${config.init}: it comes as a plain adapter of rank ${plain.config.rank}`;
  return { ...adapter, ...plain, warnings: [...warnings, line] };
}
