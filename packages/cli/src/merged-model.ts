import {
  areTied,
  type CausalLM,
  type Checkpoint,
  type LoadWeightsOptions,
  linearSizes,
  loadModel,
  type ModelConfig,
  openCheckpoint,
  quantizedModules,
  readConfig,
  requireWeights,
  untied,
  weightShapes,
} from '@flex/llama';
import {
  type Adapter,
  type AdapterPair,
  mergedCheckpoint,
  plainAdapter,
  readAdapter,
  removedBy,
  roundedCheckpoint,
  type StorageType,
  type WeightChange,
  weightChanges,
} from '@flex/peft';
import { type Backend, openGpuJs, type Tensor, tensorFromChunks } from '@flex/tensor';
import { toFloat32 } from '@flex/tensor/safetensors';

/** A model's weights and an adapter of it, merged as they are read. */
export interface MergedModel {
  readonly config: ModelConfig;
  /** The model's own weights. Closing them closes the merged ones, which read them. */
  readonly base: Checkpoint;
  readonly merged: Checkpoint;
  /** What the adapter changes, by the names of weights. */
  readonly changes: ReadonlyMap<string, WeightChange>;
  /** Whether embedding and head, tied in the model, are two once they are merged. */
  readonly isUntied: boolean;
  /** What reading the adapter warned of. */
  readonly warnings: readonly string[];
}

const [embedding, head] = ['model.embed_tokens.weight', 'lm_head.weight'];

/** Bytes read from the disk at a time. */
const chunkBytes = 16 * 2 ** 20;

/**
 * Opens a model and an adapter to be merged. Of the model only what is asked for is read, a piece at a time.
 * Throws DataError or ConfigError, one line, for what is wrong with either, and for what no weight can hold.
 */
export async function openMerged(modelDir: string, adapterDir: string): Promise<MergedModel> {
  const config = readConfig(modelDir);
  const checkpoint = openCheckpoint(modelDir);
  const host = openGpuJs('cpu');
  try {
    requireWeights(checkpoint, config);
    const isTied = areTied(checkpoint, config);
    const {
      params,
      whole,
      config: lora,
      warnings,
    } = await readForMerging(host, adapterDir, {
      checkpoint,
      config,
      isTied,
    });
    const shapes = weightShapes(config);
    const hasBias = (path: string) => shapes.has(`${path}.bias`);
    const changes = await weightChanges({ params, whole }, lora, { isTied, hasBias });
    const isUntied = isTied && changes.get(embedding) !== changes.get(head);
    const base = isUntied ? untied(checkpoint) : checkpoint;
    // Of tied weights that change alike the checkpoint may have one.
    const present = new Map([...changes].filter(([name]) => base.has(name)));
    return { config, base, merged: mergedCheckpoint(base, present), changes: present, isUntied, warnings };
  } catch (error) {
    checkpoint.close();
    throw error;
  } finally {
    await host.close();
  }
}

interface Opened {
  readonly checkpoint: Checkpoint;
  readonly config: ModelConfig;
  readonly isTied: boolean;
}

/** The adapter in the host's memory; one that began as a part of the weights as the plain one that it is. */
async function readForMerging(
  host: Backend,
  dir: string,
  { checkpoint, config, isTied }: Opened,
): Promise<Pick<Adapter, 'params' | 'whole' | 'config' | 'warnings'>> {
  const weights = new Map([...weightShapes(config)].map(([name, shape]) => [name, { shape }]));
  if (isTied) weights.set(head, weights.get(embedding)!);
  const adapter = readAdapter(host, dir, { linears: linearSizes(config), weights });
  const { params, config: lora } = adapter;
  if ((await removedBy(lora, [], new Map())) === null) return adapter;
  const removed = new Map<string, AdapterPair>();
  for (const path of params.keys()) {
    const weight = loadWeight(host, checkpoint, `${path}.weight`);
    const found = await removedBy(lora, [path], new Map([[`${path}.weight`, weight]]));
    for (const [of, pair] of found ?? []) removed.set(of, pair);
    weight.dispose();
  }
  return { ...adapter, ...plainAdapter(params, removed, lora) };
}

/** An adapter in the host's memory, and the model that it is for. */
interface HostAdapter {
  readonly config: ModelConfig;
  readonly isTied: boolean;
  readonly adapter: Pick<Adapter, 'params' | 'whole' | 'config' | 'warnings'>;
}

/**
 * What `use` makes of an adapter, as the plain one that it is; no weight of the model is read but what that
 * needs. Throws what opening them throws.
 */
export async function withHostAdapter<T>(
  modelDir: string,
  adapterDir: string,
  use: (opened: HostAdapter) => Promise<T>,
): Promise<T> {
  const config = readConfig(modelDir);
  const checkpoint = openCheckpoint(modelDir);
  const host = openGpuJs('cpu');
  try {
    requireWeights(checkpoint, config);
    const isTied = areTied(checkpoint, config);
    const adapter = await readForMerging(host, adapterDir, { checkpoint, config, isTied });
    return await use({ config, isTied, adapter });
  } finally {
    checkpoint.close();
    await host.close();
  }
}

function loadWeight(host: Backend, checkpoint: Checkpoint, name: string): Tensor {
  const { dtype, shape } = checkpoint.spec(name);
  const pieces = [...checkpoint.readChunks(name, chunkBytes)].map((bytes) => toFloat32(dtype, bytes));
  return tensorFromChunks(host, { shape, dtype: 'f32' }, pieces);
}

export interface LoadMergedOptions extends LoadWeightsOptions {
  readonly adapter: string;
  /** Whose numbers the weights are rounded to before they are loaded; f32 rounds nothing. */
  readonly storage: StorageType;
}

/** Loads a model with an adapter merged in. Throws what opening and loading throw. */
export async function loadMerged(
  backend: Backend,
  dir: string,
  { adapter, storage, ...options }: LoadMergedOptions,
): Promise<CausalLM> {
  const { config, merged, base, warnings } = await openMerged(dir, adapter);
  try {
    const checkpoint = roundedCheckpoint(merged, storage, quantizedModules(config));
    const model = await loadModel(backend, dir, { ...options, checkpoint });
    return { ...model, warnings: [...model.warnings, ...warnings] };
  } finally {
    base.close();
  }
}
