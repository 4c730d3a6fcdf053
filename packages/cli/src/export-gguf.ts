import { lstatSync } from 'node:fs';
import { ConfigError, lastName, lockFile } from '@flex/base';
import {
  adapterGguf,
  type GgufDType,
  ggufDTypes,
  type ModelToExport,
  modelGguf,
  tokenizerGguf,
  type WrittenGguf,
  writeGguf,
} from '@flex/gguf';
import { areTied, openCheckpoint, readConfig, requireWeights } from '@flex/llama';
import { openMerged, withHostAdapter } from './merged-model.ts';
import { ownDType } from './write-merged.ts';

export interface ExportGgufOptions {
  readonly model: string;
  /** Merged into the model, unless it is exported alone. */
  readonly adapter?: string;
  readonly adapterOnly?: boolean;
  /** The file. */
  readonly out: string;
  /** Left out: the model's own; of an adapter alone f32. */
  readonly dtype?: GgufDType;
}

/** What was exported. */
export interface ExportReport extends WrittenGguf {
  readonly out: string;
  readonly dtype: GgufDType;
  readonly warnings: readonly string[];
}

/**
 * Writes a model, with an adapter merged in where one is given, or the adapter alone, as a GGUF file that
 * llama.cpp reads. The file appears whole or not at all; no folder of the model is changed.
 *
 * Throws BusyError where another process writes `out`, ConfigError where it is there already and for what
 * llama.cpp has not, DataError for what is wrong with the model or the adapter, for a number that the dtype
 * cannot hold, and where the disk refuses.
 */
export async function exportGguf(options: ExportGgufOptions): Promise<ExportReport> {
  const { out, adapter, adapterOnly = false } = options;
  const lock = lockFile(out);
  try {
    // A link that leads nowhere is there too.
    if (lstatSync(out, { throwIfNoEntry: false })) {
      throw new ConfigError(`--out: ${out} is there already; name a file that is not`);
    }
    if (adapterOnly && adapter === undefined)
      throw new ConfigError('--adapter-only: there is no --adapter to export');
    const report = await (adapterOnly
      ? exportAdapter({ ...options, adapter: adapter! })
      : exportModel(options));
    return { ...report, warnings: [...(lock.note ? [lock.note] : []), ...report.warnings] };
  } finally {
    lock.release();
  }
}

async function exportModel({ model, adapter, out, dtype: given }: ExportGgufOptions): Promise<ExportReport> {
  const opened = adapter === undefined ? openBase(model) : await openMergedModel(model, adapter);
  const { base, config, checkpoint, isTied } = opened;
  try {
    const dtype = given ?? ownDType({ config, base });
    const name = lastName(model);
    const { metadata, tensors, warnings } = modelGguf({ config, checkpoint, isTied, dtype, name });
    const tokenizer = tokenizerGguf(model, config);
    const written = writeGguf(out, new Map([...metadata, ...tokenizer]), tensors);
    return { out, dtype, ...written, warnings: [...opened.warnings, ...warnings] };
  } finally {
    base.close();
  }
}

function openBase(model: string) {
  const config = readConfig(model);
  const base = openCheckpoint(model);
  try {
    requireWeights(base, config);
    return { config, base, checkpoint: base, isTied: areTied(base, config), warnings: [] };
  } catch (error) {
    base.close();
    throw error;
  }
}

async function openMergedModel(model: string, adapter: string) {
  const { config, base, merged, isUntied, warnings } = await openMerged(model, adapter);
  const checkpoint: ModelToExport['checkpoint'] = merged;
  return { config, base, checkpoint, isTied: !isUntied && areTied(base, config), warnings };
}

function exportAdapter({
  model,
  adapter: dir,
  out,
  dtype = 'f32',
}: ExportGgufOptions & { readonly adapter: string }): Promise<ExportReport> {
  if (dtype === 'q8_0') throw new ConfigError('--dtype: an adapter alone is f32, f16 or bf16, not q8_0');
  return withHostAdapter(model, dir, async ({ config, isTied, adapter }) => {
    const { type } = ggufDTypes[dtype];
    const made = await adapterGguf({ config, adapter, isTied, type, name: lastName(dir) });
    return { out, dtype, ...writeGguf(out, made.metadata, made.tensors), warnings: adapter.warnings };
  });
}
