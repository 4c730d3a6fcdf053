import {
  type Agreement,
  type CausalLM,
  finiteLogits,
  forward,
  type LoadProgress,
  loadModel,
  logitAgreement,
  logits,
} from '@flex/llama';
import { openAdapter, resolveLora, type StorageType, withAdapter } from '@flex/peft';
import { type Backend, eachTensor, scope, tensor } from '@flex/tensor';
import { type StorageErrors, storageErrors } from './layer-errors.ts';
import { loadMerged, openMerged } from './merged-model.ts';

export interface VerifyOptions {
  readonly model: string;
  readonly adapter: string;
  /** The storage types to compare with the unmerged adapter. */
  readonly storages: readonly StorageType[];
  /** Token ids, a text each. */
  readonly texts: readonly (readonly number[])[];
  /** Told how each of the models is loaded. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Takes what reading the model and the adapter warns of. */
  readonly warn: (line: string) => void;
}

/** How a merged model differs from the unmerged adapter, by the type it is stored in. */
export type StorageAgreement = Agreement & {
  readonly storage: StorageType;
  readonly rounding: StorageErrors;
};

/**
 * Next-token distributions of the merged model against those of the unmerged adapter, at every position of
 * the texts, and what rounding loses of the adapter. The unmerged model is computed with the weights as they
 * are stored and the adapter apart, all in f32; a merged one with the numbers that its storage type leaves of
 * W + s·B·A, in f32 too. Holds one model and the logits of the texts, f32 [tokens, v], at a time.
 *
 * Throws DataError, one line, for what is wrong with the model or the adapter.
 */
export async function verifyMerge(
  backend: Backend,
  { model: dir, adapter, storages, texts, warn, onProgress }: VerifyOptions,
): Promise<StorageAgreement[]> {
  const unmerged = await loadModel(backend, dir, { dtype: 'f32', onProgress });
  const { params, whole, config, warnings } = await openAdapter(unmerged, adapter);
  for (const line of [...unmerged.warnings, ...warnings]) warn(line);
  const adapted = withAdapter(unmerged, { params, whole }, resolveLora(config, params, unmerged));
  const expected = await logitsOf(adapted, texts);
  eachTensor([params, whole], (t) => t.dispose());
  unmerged.dispose();
  const opened = await openMerged(dir, adapter);
  const errors = storageErrors(opened, storages);
  opened.base.close();
  const found: StorageAgreement[] = [];
  for (const storage of storages) {
    const model = await loadMerged(backend, dir, { adapter, storage, dtype: 'f32', onProgress });
    const agreement = logitAgreement(expected, await logitsOf(model, texts), model.config.vocabSize);
    model.dispose();
    found.push({ storage, ...agreement, rounding: errors.get(storage)! });
  }
  return found;
}

/** Logits of every position of each text, f32 [t, v]. Throws Error for one that is not finite. */
async function logitsOf(model: CausalLM, texts: readonly (readonly number[])[]): Promise<Float32Array[]> {
  const { vocabSize } = model.config;
  const found: Float32Array[] = [];
  for (const [i, ids] of texts.entries()) {
    const result = scope(() => {
      const input = tensor(model.backend, Int32Array.from(ids), [1, ids.length], 'i32');
      return logits(model, forward(model, input));
    });
    const values = Float32Array.from(await result.data());
    result.dispose();
    ids.forEach((_, position) => {
      const row = values.subarray(position * vocabSize, (position + 1) * vocabSize);
      finiteLogits(row, `at position ${position} of text ${i}`);
    });
    found.push(values);
  }
  return found;
}
