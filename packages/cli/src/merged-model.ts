import {
  type Checkpoint,
  type LlamaConfig,
  type LlamaModel,
  linearSizes,
  loadLlama,
  openCheckpoint,
  readLlamaConfig,
  requireWeights,
  untied,
  type WeightDType,
} from '@flex/llama';
import {
  type HostAdapter,
  hostAdapters,
  mergedCheckpoint,
  readAdapter,
  roundedCheckpoint,
  type StorageType,
} from '@flex/peft';
import { type Backend, openGpuJs } from '@flex/tensor';

/** A model's weights and an adapter of it, merged as they are read. */
export interface MergedModel {
  readonly config: LlamaConfig;
  /** The model's own weights. Closing them closes the merged ones, which read them. */
  readonly base: Checkpoint;
  readonly merged: Checkpoint;
  readonly adapters: ReadonlyMap<string, HostAdapter>;
  /** Whether embedding and head, tied in the model, are two once they are merged. */
  readonly isUntied: boolean;
  /** What reading the adapter warned of. */
  readonly warnings: readonly string[];
}

/** Opens a model and an adapter to be merged. Throws DataError, one line, for what is wrong with either. */
export async function openMerged(modelDir: string, adapterDir: string): Promise<MergedModel> {
  const config = readLlamaConfig(modelDir);
  const checkpoint = openCheckpoint(modelDir);
  const host = openGpuJs('cpu');
  try {
    requireWeights(checkpoint, config);
    const { params, config: lora, warnings } = readAdapter(host, adapterDir, linearSizes(config));
    const adapters = await hostAdapters(params, lora);
    const isUntied = config.tieWordEmbeddings && adapters.has('lm_head');
    const base = isUntied ? untied(checkpoint) : checkpoint;
    return { config, base, merged: mergedCheckpoint(base, adapters), adapters, isUntied, warnings };
  } catch (error) {
    checkpoint.close();
    throw error;
  } finally {
    await host.close();
  }
}

export interface LoadMergedOptions {
  readonly adapter: string;
  /** Whose numbers the weights are rounded to before they are loaded; f32 rounds nothing. */
  readonly storage: StorageType;
  /** How they are loaded. */
  readonly dtype: WeightDType | 'auto';
}

/** Loads a model with an adapter merged in. Throws what opening and loading throw. */
export async function loadMerged(
  backend: Backend,
  dir: string,
  { adapter, storage, dtype }: LoadMergedOptions,
): Promise<LlamaModel> {
  const { config, merged, base, warnings } = await openMerged(dir, adapter);
  try {
    const checkpoint = roundedCheckpoint(merged, storage, quantizedModules(config));
    const model = loadLlama(backend, dir, { dtype, checkpoint });
    return { ...model, warnings: [...model.warnings, ...warnings] };
  } finally {
    base.close();
  }
}

/** The modules that int8 and nf4 are for: all linear layers but the head. */
export function quantizedModules(config: LlamaConfig): string[] {
  return [...linearSizes(config).keys()].filter((path) => path !== 'lm_head');
}
