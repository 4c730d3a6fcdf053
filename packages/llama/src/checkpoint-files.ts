import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DataError } from '@flex/base';
import { openSafetensors, type Piece, type SafetensorsFile, type TensorInfo } from '@flex/tensor/safetensors';
import * as z from 'zod';
import { readJson, requireDirectory } from './read-json.ts';

/**
 * The weights of a model directory, whether in one file or in shards, or what is made of them as they are
 * read.
 */
export interface Checkpoint {
  readonly dir: string;
  /** The paths of the files. */
  readonly files: readonly string[];
  /** The parameters' own names, in the order of the files. */
  names(): string[];
  has(name: string): boolean;
  /** Dtype, shape and size of a parameter. Throws DataError where there is none of that name. */
  spec(name: string): Pick<TensorInfo, 'dtype' | 'shape' | 'bytes'>;
  /**
   * A parameter's little-endian bytes, in pieces of about `chunkBytes`. Throws DataError where there is none
   * of that name.
   */
  readChunks(name: string, chunkBytes: number): Generator<Uint8Array, void, undefined>;
  /**
   * The same bytes of several parameters, one after the other, without waiting for the disk: while a piece is
   * in use the next one is read. A piece holds until the next is asked for. Fastest in the order of `names()`.
   */
  stream(names: readonly string[], chunkBytes: number): AsyncGenerator<Piece, void, undefined>;
  /** Releases the files. */
  close(): void;
}

const single = 'model.safetensors';
const sharded = 'model.safetensors.index.json';
const pickled = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'consolidated.00.pth'];

const shardName = z.string().regex(/^[^/\\]+\.safetensors$/, 'must be a .safetensors file beside the index');
const indexSchema = z.object({
  weight_map: z.record(z.string(), shardName),
});

/**
 * Opens the weights in a Hugging Face model directory: `model.safetensors`, or `model.safetensors.index.json`
 * and the shards it names. The headers are read and checked, tensors are read when asked for.
 *
 * Throws DataError, in one line with the place, what is wrong and what would be right, when there are none,
 * when only PyTorch's pickled weights are there, when a file is damaged, and when the index names a shard
 * that is not there or a tensor that the shard does not have.
 */
export function openCheckpoint(dir: string): Checkpoint {
  requireDirectory(dir);
  const files: SafetensorsFile[] = [];
  const close = (): void => {
    for (const file of files) file.close();
  };
  try {
    const fileByTensor = existsSync(join(dir, single)) ? openSingle(dir, files) : openShards(dir, files);
    const fileOf = (name: string): SafetensorsFile => {
      const file = fileByTensor.get(name);
      if (!file)
        throw new DataError(`${dir}: there is no tensor "${name}" among the model's ${fileByTensor.size}`);
      return file;
    };
    return {
      dir,
      files: files.map(({ path }) => path),
      names: () => [...fileByTensor.keys()],
      has: (name) => fileByTensor.has(name),
      spec: (name) => fileOf(name).tensors.get(name) as TensorInfo,
      readChunks: (name, chunkBytes) => fileOf(name).readChunks(name, chunkBytes),
      async *stream(names, chunkBytes) {
        for (let from = 0, to = 0; from < names.length; from = to) {
          const file = fileOf(names[from]);
          while (to < names.length && fileOf(names[to]) === file) to++;
          yield* file.stream(names.slice(from, to), chunkBytes);
        }
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** The file of each tensor; the opened ones are added to `files`. */
function openSingle(dir: string, files: SafetensorsFile[]): Map<string, SafetensorsFile> {
  const file = openSafetensors(join(dir, single));
  files.push(file);
  return new Map([...file.tensors.keys()].map((name) => [name, file]));
}

function openShards(dir: string, files: SafetensorsFile[]): Map<string, SafetensorsFile> {
  const index = join(dir, sharded);
  if (!existsSync(index)) {
    const wanted = `${single} or ${sharded}`;
    const other = pickled.find((name) => existsSync(join(dir, name)));
    if (!other) throw new DataError(`${dir}: there are no weights; ${wanted} must be there`);
    throw new DataError(
      `${dir}: ${other} is PyTorch's pickled format, which is not read; save it as ${wanted}`,
    );
  }
  const { weight_map: shardOf } = readJson(index, indexSchema);
  const shards = new Map<string, SafetensorsFile>();
  for (const name of [...new Set(Object.values(shardOf))].sort()) {
    const path = join(dir, name);
    if (!existsSync(path)) {
      throw new DataError(`${index}: names the shard ${name}, which is not there; copy it beside the index`);
    }
    const shard = openSafetensors(path);
    files.push(shard);
    shards.set(name, shard);
  }
  for (const [name, shardName] of Object.entries(shardOf)) {
    const shard = shards.get(shardName) as SafetensorsFile;
    if (!shard.tensors.has(name)) throw new DataError(`${index}: ${misplaced(name, shard, files)}`);
  }
  const fileByTensor = new Map<string, SafetensorsFile>();
  for (const [shardName, shard] of shards) {
    for (const name of shard.tensors.keys()) if (shardOf[name] === shardName) fileByTensor.set(name, shard);
  }
  return fileByTensor;
}

/** Where a tensor was expected, and where it is instead. */
function misplaced(name: string, expected: SafetensorsFile, files: readonly SafetensorsFile[]): string {
  const actual = files.find((file) => file.tensors.has(name));
  const elsewhere = actual ? `it is in ${basename(actual.path)}` : 'no shard has it';
  return `tensor "${name}" is said to be in ${basename(expected.path)}, which does not have it; ${elsewhere}`;
}
