import { type CountedDevice, openCounting } from '@flex/tensor';
import { columnsAtOnce, newKvCache } from './kv-cache.ts';
import { emptyModel } from './model.ts';
import { newSlots } from './slots.ts';
import type { WeightStorage } from './weights.ts';

/** Texts that are decoded together. */
export interface DecodedTexts {
  /** How many, or how many beams. */
  readonly rows: number;
  /** Tokens of the longest prompt, and of the longest text with what follows its prompt. */
  readonly prompt: number;
  readonly length: number;
}

/** Bytes of tensors that decoding has alive at once. */
export interface DecodingMemory {
  readonly weights: number;
  /** Keys and values of all texts at their full length. */
  readonly cache: number;
  /** What a prompt needs while it is read; or between two pieces, with the cache while it grows. */
  readonly workspace: number;
  /** The sum of these. */
  readonly peak: number;
}

/**
 * What decoding takes of a device, found where nothing is computed; adapters come on top. Throws DataError
 * for a directory whose weights do not fit its config.json.
 */
export async function decodingMemory(
  device: CountedDevice,
  dir: string,
  storage: WeightStorage,
  { rows, prompt, length }: DecodedTexts,
): Promise<DecodingMemory> {
  const backend = openCounting(device, { memoryAlone: true });
  const { stats } = backend;
  const model = emptyModel(backend, dir, storage);
  const weights = stats.liveBytes;
  const cacheOf = (texts: number, columns: number) => {
    backend.resetPeak();
    const cache = newKvCache(model, texts);
    // Growing takes most at the last of its steps, when the keys or values of a layer stand twice.
    for (const end of [columns - columnsAtOnce, columns]) cache.reserve(end);
    const bytes = stats.liveBytes - weights;
    cache.dispose();
    return { bytes, growth: stats.peakBytes - weights - bytes };
  };
  try {
    const { bytes: cache, growth } = cacheOf(rows, length);
    const ofPrompt = cacheOf(1, prompt + 1);
    backend.resetPeak();
    const slots = newSlots(model, 1);
    const reading = slots.read(0, Array(prompt).fill(0));
    let isRead = (await reading.next()).logits !== null;
    // Between two pieces, other texts may need a larger cache.
    const held = isRead ? 0 : stats.liveBytes - weights - ofPrompt.bytes;
    while (!isRead) isRead = (await reading.next()).logits !== null;
    reading.dispose();
    slots.dispose();
    const workspace = Math.max(held + growth, stats.peakBytes - weights - ofPrompt.bytes);
    return { weights, cache, workspace, peak: weights + cache + workspace };
  } finally {
    model.dispose();
  }
}
