import { decodingMemory, emptyModel, readConfig, unquantizable, type WeightStorage } from '@flex/llama';
import { type Backend, type CountedDevice, type DeviceMemory, openCounting } from '@flex/tensor';
import { leastTrainingMemory } from '@flex/train';

/** What a model takes of a device with its weights stored in one way. */
export interface StorageMemory {
  readonly storage: 'f16' | 'int8' | 'nf4';
  /** Bytes of the weights. */
  readonly weights: number;
  /** At the peak of decoding one text. */
  readonly decode: number;
  /** At the peak of training, at least: one row, all layers computed again. */
  readonly train: number;
  /** Whether it fits; null where nobody tells what there is. */
  readonly fits: { readonly decode: boolean; readonly train: boolean } | null;
}

export interface ModelMemory {
  readonly available: DeviceMemory | null;
  readonly storages: readonly StorageMemory[];
}

const ways = [
  { storage: 'f16', dtype: 'f16' },
  { storage: 'int8', dtype: 'f16', quantize: 'int8' },
  { storage: 'nf4', dtype: 'f16', quantize: 'nf4' },
] as const;

/**
 * What a model takes to decode a text of so many tokens, and to be trained on rows of as many, as `flex
 * generate` and `flex train` plan it, quantized only where its rows can be. Nothing is loaded. What is not
 * weights takes as much however these are stored, so that one dry run of each tells all.
 */
export async function modelMemory(
  { counted, memory }: Pick<Backend, 'counted' | 'memory'>,
  dir: string,
  tokens: number,
): Promise<ModelMemory> {
  const available = await memory();
  const canQuantize = unquantizable(readConfig(dir)) === undefined;
  const [whole] = ways;
  const training = await leastTrainingMemory(counted, dir, whole, tokens);
  const decoding = await decodingMemory(counted, dir, whole, { rows: 1, prompt: tokens, length: tokens });
  const storages = (canQuantize ? ways : [whole]).map(({ storage, ...stored }): StorageMemory => {
    const weights = weightMemory(counted, dir, stored);
    const decode = decoding.peak - decoding.weights + weights;
    const train = training.peak - training.weights + weights;
    const fits = available && { decode: decode <= available.bytes, train: train <= available.bytes };
    return { storage, weights, decode, train, fits };
  });
  return { available, storages };
}

/** Bytes of a model's weights on a device. */
function weightMemory(device: CountedDevice, dir: string, storage: WeightStorage): number {
  const backend = openCounting(device, { memoryAlone: true });
  const model = emptyModel(backend, dir, storage);
  const { liveBytes } = backend.stats;
  model.dispose();
  return liveBytes;
}
