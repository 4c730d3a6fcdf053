import { ConfigError } from '@flex/base';
import { type LlamaModel, loadLlama, type WeightDType } from '@flex/llama';
import type { StorageType } from '@flex/peft';
import type { Backend } from '@flex/tensor';
import { type AdapterChoice, onlyAdapter, withChosenAdapters } from './adapter-option.ts';
import type { Output } from './context.ts';
import { type DeviceOptions, openBackend } from './device.ts';
import { loadMerged } from './merged-model.ts';

export interface ModelOptions extends DeviceOptions {
  readonly model: string;
  readonly adapter?: readonly AdapterChoice[];
  /** Whether the adapter is folded into the weights; a storage type rounds these to its values. */
  readonly merged?: boolean | StorageType;
  /** f32, f16, or auto: f32 for a checkpoint in f32, else f16 for what fits in it. */
  readonly dtype: string;
}

/** A model ready to run, adapted where an adapter was named. */
export interface RunnableModel {
  readonly backend: Backend;
  readonly model: LlamaModel;
  close(): Promise<void>;
}

/**
 * Opens the device, the model and the adapter, and prints what they warn of. Throws ConfigError or DataError,
 * one line, for what is wrong.
 */
export async function openModel(options: ModelOptions, output: Output): Promise<RunnableModel> {
  const dtype = dtypeOf(options);
  const backend = await openBackend(options, output.note);
  const { model: dir, adapter, merged } = options;
  const close = () => backend.close();
  if (adapter !== undefined && merged) {
    const storage = merged === true ? 'f32' : merged;
    const model = await loadMerged(backend, dir, { adapter: onlyAdapter(adapter), dtype, storage });
    for (const line of model.warnings) output.warn(line);
    return { backend, model, close };
  }
  const model = loadLlama(backend, dir, { dtype });
  for (const line of model.warnings) output.warn(line);
  return { backend, model: adapter ? await withChosenAdapters(model, adapter, output.warn) : model, close };
}

function dtypeOf({ dtype }: ModelOptions): WeightDType | 'auto' {
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'auto') return dtype;
  throw new ConfigError(`--dtype: must be auto, f32 or f16, got "${dtype}"`);
}

export const dtypeHelp =
  'storage of the frozen weights: f32, f16, or auto (f32 for an f32 checkpoint, else f16 for all that fits in it)';
