import { ConfigError } from '@flex/base';
import { type LlamaModel, loadLlama, type WeightDType } from '@flex/llama';
import { openAdapter, resolveLora, type StorageType, withAdapter } from '@flex/peft';
import type { Backend } from '@flex/tensor';
import type { Output } from './context.ts';
import { openBackend } from './device.ts';
import { loadMerged } from './merged-model.ts';

export interface ModelOptions {
  readonly model: string;
  readonly adapter?: string;
  /** Whether the adapter is folded into the weights; a storage type rounds these to its values. */
  readonly merged?: boolean | StorageType;
  readonly device: string;
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
  const backend = await openBackend(options.device, output.note);
  const { model: dir, adapter, merged } = options;
  const close = () => backend.close();
  if (adapter !== undefined && merged) {
    const storage = merged === true ? 'f32' : merged;
    const model = await loadMerged(backend, dir, { adapter, dtype, storage });
    for (const line of model.warnings) output.warn(line);
    return { backend, model, close };
  }
  const model = loadLlama(backend, dir, { dtype });
  for (const line of model.warnings) output.warn(line);
  return { backend, model: await adapted(model, adapter, output), close };
}

/** The model with the adapter, where one was named. */
async function adapted(model: LlamaModel, dir: string | undefined, output: Output): Promise<LlamaModel> {
  if (dir === undefined) return model;
  const { params, whole, config, warnings } = await openAdapter(model, dir);
  for (const line of warnings) output.warn(line);
  return withAdapter(model, { params, whole }, resolveLora(config, params, model));
}

function dtypeOf({ dtype }: ModelOptions): WeightDType | 'auto' {
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'auto') return dtype;
  throw new ConfigError(`--dtype: must be auto, f32 or f16, got "${dtype}"`);
}

export const dtypeHelp =
  'storage of the frozen weights: f32, f16, or auto (f32 for an f32 checkpoint, else f16 for all that fits in it)';
