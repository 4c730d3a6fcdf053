import { ConfigError } from '@flex/base';
import { type LlamaModel, loadLlama, type WeightDType } from '@flex/llama';
import { openAdapter, resolveLora, withAdapter, withMergedLora } from '@flex/peft';
import type { Backend } from '@flex/tensor';
import type { Output } from './context.ts';
import { openBackend } from './device.ts';

export interface ModelOptions {
  readonly model: string;
  readonly adapter?: string;
  /** Whether the adapter is folded into the weights. */
  readonly merged?: boolean;
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
  const model = loadLlama(backend, options.model, { dtype });
  for (const line of model.warnings) output.warn(line);
  return { backend, model: await adapted(model, options, output), close: () => backend.close() };
}

/** The model with the adapter, where one was named. */
async function adapted(
  model: LlamaModel,
  { adapter: dir, merged }: ModelOptions,
  output: Output,
): Promise<LlamaModel> {
  if (dir === undefined) return model;
  const { params, whole, config, warnings } = await openAdapter(model, dir);
  for (const line of warnings) output.warn(line);
  const lora = resolveLora(config, params, model);
  return merged
    ? { ...model, linear: withMergedLora(model, params, lora) }
    : withAdapter(model, { params, whole }, lora);
}

function dtypeOf({ dtype }: ModelOptions): WeightDType | 'auto' {
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'auto') return dtype;
  throw new ConfigError(`--dtype: must be auto, f32 or f16, got "${dtype}"`);
}

export const dtypeHelp =
  'storage of the frozen weights: f32, f16, or auto (f32 for an f32 checkpoint, else f16 for all that fits in it)';
