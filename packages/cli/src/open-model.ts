import { ConfigError } from '@flex/base';
import {
  type CausalLM,
  describeQuantized,
  type LoadWeightsOptions,
  loadModel,
  type QuantizedWeights,
  type WeightDType,
} from '@flex/llama';
import type { StorageType } from '@flex/peft';
import type { Backend, QuantizedDType } from '@flex/tensor';
import { readManifest } from '@flex/train';
import { Option } from 'commander';
import { type AdapterChoice, onlyAdapter, withChosenAdapters } from './adapter-option.ts';
import type { Output } from './context.ts';
import { type DeviceOptions, openBackend } from './device.ts';
import { newLiveLine } from './live-line.ts';
import { newLoadProgress } from './load-progress.ts';
import { loadMerged } from './merged-model.ts';
import { type Decoding, requireRoom } from './require-room.ts';
import { runOf } from './spectrum/adapter-spectra.ts';

export interface ModelOptions extends DeviceOptions {
  readonly model: string;
  readonly adapter?: readonly AdapterChoice[];
  /** Whether the adapter is folded into the weights; a storage type rounds these to its values. */
  readonly merged?: boolean | StorageType;
  /** f32, f16, or auto: f32 for a checkpoint in f32, else f16 for what fits in it. */
  readonly dtype: string;
  /** The type of the linear layers but the head, in place of it. */
  readonly quantize?: QuantizedDType;
}

export interface OpenModelOptions {
  /** What is decoded: it must fit the device. */
  readonly decoding?: Decoding;
  /** Aborted: rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** A model ready to run, adapted where an adapter was named. */
export interface RunnableModel {
  readonly backend: Backend;
  readonly model: CausalLM;
  close(): Promise<void>;
}

/**
 * Opens the device, the model and the adapter, shows how that goes, and prints what they warn of. Throws
 * ConfigError or DataError, one line, for what is wrong.
 */
export async function openModel(
  options: ModelOptions,
  output: Output,
  { decoding, signal }: OpenModelOptions = {},
): Promise<RunnableModel> {
  const onProgress = newLoadProgress(newLiveLine(output.quiet));
  const loading: LoadWeightsOptions = {
    dtype: dtypeOf(options),
    quantize: options.quantize,
    onProgress,
    signal,
  };
  const backend = await openBackend(options, output.note);
  const { model: dir, adapter, merged } = options;
  const close = () => backend.close();
  for (const { dir } of adapter ?? []) warnOfBase(dir, options, output);
  if (decoding) await requireRoom(backend, dir, loading, decoding);
  if (adapter !== undefined && merged) {
    const storage = merged === true ? 'f32' : merged;
    const model = await loadMerged(backend, dir, { adapter: onlyAdapter(adapter), storage, ...loading });
    tell(model, output);
    return { backend, model, close };
  }
  const model = await loadModel(backend, dir, loading);
  tell(model, output);
  return { backend, model: adapter ? await withChosenAdapters(model, adapter, output.warn) : model, close };
}

function tell({ warnings, quantized }: CausalLM, output: Output): void {
  for (const line of warnings) output.warn(line);
  if (quantized) output.note(describeQuantized(quantized));
}

/** Warns of a run's adapter whose model was stored as int8 or nf4 and now is not. */
function warnOfBase(adapter: string, { quantize }: ModelOptions, output: Output): void {
  const run = runOf(adapter);
  const trained =
    run === null ? undefined : (readManifest(run).protocol.quantized as QuantizedWeights)?.dtype;
  if (trained === undefined || trained === quantize) return;
  output.warn(`${adapter}: was trained on the model as ${trained}; --quantize ${trained} takes it so`);
}

function dtypeOf({ dtype }: ModelOptions): WeightDType | 'auto' {
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'auto') return dtype;
  throw new ConfigError(`--dtype: must be auto, f32 or f16, got "${dtype}"`);
}

/** What --model takes. */
export const modelHelp = 'a Hugging Face model directory, or org/name[@revision] of its hub';

export const dtypeHelp =
  'storage of the frozen weights: f32, f16, or auto (f32 for an f32 checkpoint, else f16 for all that fits in it)';

/** --quantize: what ModelOptions.quantize says. */
export const quantizeOption = () =>
  new Option(
    '--quantize <type>',
    'storage of the linear layers but the head: int8, a scale a row, or nf4, 4 bits with doubly quantized scales',
  ).choices(['int8', 'nf4'] satisfies QuantizedDType[]);
