import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TokenBatch } from '@flex/llama';
import { openSafetensors, toFloat32 } from '@flex/tensor/safetensors';

/** Reference values of PyTorch, transformers and PEFT; they lie beside the repository and may be absent. */
const root = join(import.meta.dirname, '../../../../../shared/fixtures/goldens');

export const goldenNames = ['gqa-f32', 'mha-f16', 'gqa-bf16', 'tied-f32'] as const;

/** For `describe.skipIf`: the reference values are not there. */
export const goldensMissing = !existsSync(root);

/** One model's reference values. */
export interface Golden {
  readonly dir: string;
  path(name: string): string;
  json<T>(name: string): T;
  /** All tensors of a safetensors file, in f32. */
  tensors(name: string): Map<string, Float32Array>;
  /** inputs.json as a batch, and its attention mask. */
  inputs(): TokenBatch & { readonly mask: readonly number[] };
}

export function openGolden(name: string): Golden {
  const dir = join(root, name);
  const path = (file: string) => join(dir, file);
  const json = <T>(file: string) => JSON.parse(readFileSync(path(file), 'utf8')) as T;
  return {
    dir,
    path,
    json,
    tensors: (file) => readTensors(path(file)),
    inputs() {
      const { input_ids, attention_mask, labels } = json<Record<string, number[][]>>('inputs.json');
      return {
        b: input_ids.length,
        t: input_ids[0].length,
        input_ids: Int32Array.from(input_ids.flat()),
        labels: Int32Array.from(labels.flat()),
        mask: attention_mask.flat(),
      };
    },
  };
}

/** All tensors of a safetensors file, in f32. */
export function readTensors(file: string): Map<string, Float32Array> {
  const opened = openSafetensors(file);
  const values = [...opened.tensors].map(
    ([key, { dtype }]) => [key, toFloat32(dtype, opened.read(key))] as const,
  );
  opened.close();
  return new Map(values);
}

/** ‖x − y‖ / ‖y‖. */
export function relativeError(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < y.length; i++) {
    difference += (x[i] - y[i]) ** 2;
    norm += y[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}
