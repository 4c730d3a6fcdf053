import { ConfigError } from '@flex/base';
import { type Linear, type LlamaModel, loadLlama, readLlamaConfig, type WeightDType } from '@flex/llama';
import { readAdapter, withLora, withMergedLora } from '@flex/peft';
import type { Backend } from '@flex/tensor';
import { openBackend } from './device.ts';

export interface ModelOptions {
  readonly model: string;
  readonly adapter?: string;
  /** Whether the adapter is folded into the weights. */
  readonly merged?: boolean;
  readonly device: string;
  /** f32, f16, or auto: f32 for a checkpoint in f32, else f16. */
  readonly dtype: string;
}

/** A model ready to run, with its adapter where one was named. */
export interface RunnableModel {
  readonly backend: Backend;
  readonly model: LlamaModel;
  readonly linear: Linear;
  close(): Promise<void>;
}

/**
 * Opens the device, the model and the adapter. Throws ConfigError or DataError, one line, for what is wrong.
 */
export async function openModel(options: ModelOptions, say: (line: string) => void): Promise<RunnableModel> {
  const dtype = storageOf(options);
  const backend = await openBackend(options.device, say);
  const model = loadLlama(backend, options.model, { dtype });
  return {
    backend,
    model,
    linear: adapted(backend, model, options),
    close: () => backend.close(),
  };
}

/** The model's linear layers with the adapter, where one was named. */
function adapted(backend: Backend, model: LlamaModel, { adapter: dir, merged }: ModelOptions): Linear {
  if (dir === undefined) return model.linear;
  const { params, config } = readAdapter(backend, dir, model.linears);
  return merged ? withMergedLora(model, params, config) : withLora(model.linear, params, config);
}

function storageOf({ model, dtype }: ModelOptions): WeightDType {
  if (dtype === 'f32' || dtype === 'f16') return dtype;
  if (dtype !== 'auto') throw new ConfigError(`--dtype: must be auto, f32 or f16, got "${dtype}"`);
  return readLlamaConfig(model).torchDtype === 'f32' ? 'f32' : 'f16';
}

export const dtypeHelp =
  'storage of the frozen weights: f32, f16, or auto (f32 for an f32 checkpoint, else f16)';
