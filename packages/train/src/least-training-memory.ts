import { readConfig, type WeightDType } from '@flex/llama';
import type { CountedDevice, QuantizedDType } from '@flex/tensor';
import { loadConfig } from './config.ts';
import { dryRun, type MemoryUse } from './dry-run.ts';

/**
 * The least that `flex train` takes of a device for a model, all but the batch as it is by default: updates of
 * one row of so many tokens, every layer computed again in the backward pass. Nothing is computed or loaded.
 * Throws DataError for a directory whose weights do not fit its config.json.
 */
export async function leastTrainingMemory(
  device: CountedDevice,
  dir: string,
  { dtype, quantize = null }: { readonly dtype: WeightDType; readonly quantize?: QuantizedDType | null },
  tokens: number,
): Promise<MemoryUse> {
  // Of a run's data and its folder a dry run knows nothing.
  const defaults = { model: { path: dir, quantize }, dtype, data: { source: dir }, out: dir };
  const config = await loadConfig({ defaults });
  const ids = new Int32Array(tokens);
  const training = { b: 1, t: tokens, input_ids: ids, labels: ids };
  const batches = { training, uncut: 0, accumulated: false, heldOut: null };
  return dryRun(config, device, batches, readConfig(dir).layers);
}
