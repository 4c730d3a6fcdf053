import { join } from 'node:path';
import { writeAtomic } from '@flex/base';
import {
  type FloatDType,
  fromFloat32,
  type SafetensorsDType,
  safetensorsDTypes,
  type TensorData,
  type TensorToWrite,
  toFloat32,
  writeSafetensors,
} from '@flex/tensor/safetensors';
import type { Checkpoint } from './checkpoint-files.ts';

/** What is written: a checkpoint, or whatever gives tensors as one does. */
type Tensors = Pick<Checkpoint, 'names' | 'spec' | 'readChunks'>;

export interface WriteCheckpointOptions {
  /** Every floating-point weight's dtype; a number of another is rounded once, to nearest even. */
  readonly dtype: FloatDType;
  /** Bytes of weights in a file at most, but for one that is larger by itself; 5 GB unless given. */
  readonly maxShardBytes?: number;
}

/** What was written. */
export interface WrittenCheckpoint {
  /** Names of the files with weights. */
  readonly files: readonly string[];
  readonly tensors: number;
  readonly parameters: number;
  /** Of the weights alone. */
  readonly bytes: number;
}

/** Bytes read and converted at a time. */
const chunkBytes = 16 * 2 ** 20;
const floats: readonly SafetensorsDType[] = ['F64', 'F32', 'F16', 'BF16'];

/**
 * Writes weights into a folder as transformers' `save_pretrained` does: model.safetensors, or shards and
 * model.safetensors.index.json. Holds 16 MiB of them at a time. The order is the checkpoint's.
 *
 * Throws DataError, which names the tensor, for a finite number that the dtype cannot hold, and where the
 * disk refuses.
 */
export function writeCheckpoint(
  dir: string,
  checkpoint: Tensors,
  { dtype, maxShardBytes = 5e9 }: WriteCheckpointOptions,
): WrittenCheckpoint {
  const shards: Map<string, TensorToWrite>[] = [];
  let [total, parameters, inShard] = [0, 0, Number.POSITIVE_INFINITY];
  for (const name of checkpoint.names()) {
    const { dtype: own, shape } = checkpoint.spec(name);
    const stored = floats.includes(own) ? dtype : own;
    const count = shape.reduce((product, n) => product * n, 1);
    const bytes = count * safetensorsDTypes[stored];
    if (inShard + bytes > maxShardBytes) {
      shards.push(new Map());
      inShard = 0;
    }
    inShard += bytes;
    total += bytes;
    parameters += count;
    shards.at(-1)?.set(name, { dtype: stored, shape, data: () => converted(checkpoint, name, stored) });
  }
  const number = (i: number) => String(i).padStart(5, '0');
  const files = shards.map((_, i) =>
    shards.length === 1
      ? 'model.safetensors'
      : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`,
  );
  for (const [i, shard] of shards.entries()) writeSafetensors(join(dir, files[i]), shard);
  if (shards.length > 1) {
    const places = shards.flatMap((shard, i) => [...shard.keys()].map((name) => [name, files[i]] as const));
    const weight_map = Object.fromEntries(places.sort(([a], [b]) => (a < b ? -1 : 1)));
    const index = { metadata: { total_parameters: parameters, total_size: total }, weight_map };
    writeAtomic(join(dir, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
  }
  return { files, tensors: checkpoint.names().length, parameters, bytes: total };
}

/** A parameter in the dtype that it is stored in, piece by piece. */
function* converted(
  checkpoint: Tensors,
  name: string,
  stored: SafetensorsDType,
): Generator<TensorData, void, undefined> {
  const { dtype } = checkpoint.spec(name);
  for (const bytes of checkpoint.readChunks(name, chunkBytes)) {
    if (dtype === stored) yield bytes;
    else yield fromFloat32(name, stored as FloatDType, toFloat32(dtype, bytes));
  }
}
