import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DataError, readBlob } from '@flex/base';
import { openSafetensors, toFloat32 } from '@flex/tensor/safetensors';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';
import { readConfig } from './config.ts';
import type { LoadProgress } from './load-weights.ts';
import { requireDirectory } from './read-json.ts';
import { openTokenizer } from './tokenizer/open-tokenizer.ts';
import { unreadTensors, wrongWeights } from './weights.ts';

export interface CheckModelOptions {
  /** Also whether each number of the weights is finite, which reads all of them. */
  readonly numbers?: boolean;
  /** Told after each piece that was read. */
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** What a check found. */
export interface ModelCheck {
  readonly dir: string;
  /** Files with weights, whose headers were read. */
  readonly files: number;
  readonly tensors: number;
  /** Files of a hub's cache whose bytes are those that their blob's name tells. */
  readonly digests: number;
  /** Weights whose numbers were read; null: none was to be. */
  readonly numbers: number | null;
  /** What is wrong, a line each. */
  readonly problems: readonly string[];
  /** What is no fault, but unusual. */
  readonly notes: readonly string[];
}

/** Bytes read at a time. */
const chunkBytes = 16 * 2 ** 20;

/**
 * Looks at all of a Hugging Face model directory, and goes on where something is wrong: config.json, the
 * header of every file of weights, the index, the shape of every weight against config.json, the tokenizer,
 * and of files in a hub's cache the digest that their blob has for a name, SHA-256 or git's SHA-1. Throws
 * DataError where there is no such directory.
 */
export async function checkModel(
  dir: string,
  { numbers = false, onProgress }: CheckModelOptions = {},
): Promise<ModelCheck> {
  requireDirectory(dir);
  const problems = new Set<string>();
  const notes: string[] = [];
  const tried = <T>(f: () => T): T | null => {
    try {
      return f();
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      problems.add(error.message);
      return null;
    }
  };
  const config = tried(() => readConfig(dir));
  const files = (readdirSync(dir, { recursive: true }) as string[]).sort();
  const weightFiles = files.filter((name) => name.endsWith('.safetensors') && name === basename(name));
  for (const name of weightFiles) tried(() => openSafetensors(join(dir, name)).close());
  const checkpoint = tried(() => openCheckpoint(dir));
  try {
    if (checkpoint && config) {
      for (const line of wrongWeights(checkpoint, config)) problems.add(line);
      const others = unreadTensors(checkpoint, config);
      if (others.length > 0)
        notes.push(`${dir}: not of this architecture, and not read: ${others.join(', ')}`);
    }
    if (['tokenizer.json', 'tokenizer.model', 'vocab.json'].some((name) => existsSync(join(dir, name)))) {
      const tokenizer = tried(() => openTokenizer(dir));
      if (tokenizer && config && tokenizer.vocabSize > config.vocabSize) {
        const ids = `the tokenizer has ids up to ${tokenizer.vocabSize - 1}`;
        problems.add(`${dir}: ${ids}, and "vocab_size" of config.json is ${config.vocabSize}`);
      }
    } else notes.push(`${dir}: there is no tokenizer`);
    const digests = checkDigests(dir, files, problems, onProgress);
    return {
      dir,
      files: weightFiles.length,
      tensors: checkpoint?.names().length ?? 0,
      digests,
      numbers: numbers && checkpoint ? await checkNumbers(checkpoint, problems, onProgress) : null,
      problems: [...problems],
      notes,
    };
  } finally {
    checkpoint?.close();
  }
}

/** How many files have the digest that their blob's name tells. */
function checkDigests(
  dir: string,
  files: readonly string[],
  problems: Set<string>,
  onProgress: CheckModelOptions['onProgress'],
): number {
  const paths = files.map((name) => join(dir, name));
  const dangling = paths.filter((path) => !existsSync(path));
  for (const path of dangling) problems.add(`${path}: is a link that leads to no file`);
  const blobs = paths.filter((path) => !dangling.includes(path)).flatMap((path) => readBlob(path) ?? []);
  const total = blobs.reduce((sum, { bytes }) => sum + bytes, 0);
  let before = 0;
  let right = 0;
  for (const { path, bytes, name, digest } of blobs) {
    const found = digest((read) => onProgress?.({ bytes: before + read, total }));
    before += bytes;
    if (found === name) right++;
    else problems.add(`${path}: is damaged: its digest is ${found}, and it was downloaded as ${name}`);
  }
  return right;
}

/** Adds the weights with numbers that are not finite; gives how many weights were read. */
async function checkNumbers(
  checkpoint: Checkpoint,
  problems: Set<string>,
  onProgress: CheckModelOptions['onProgress'],
): Promise<number> {
  const names = checkpoint.names();
  const total = names.reduce((sum, name) => sum + checkpoint.spec(name).bytes, 0);
  const wrong = new Map<string, number>();
  let bytes = 0;
  for await (const piece of checkpoint.stream(names, chunkBytes)) {
    const values = toFloat32(checkpoint.spec(piece.name).dtype, piece.bytes);
    const count = values.reduce((sum, x) => sum + Number(!Number.isFinite(x)), 0);
    if (count > 0) wrong.set(piece.name, (wrong.get(piece.name) ?? 0) + count);
    bytes += piece.bytes.length;
    onProgress?.({ bytes, total });
  }
  for (const [name, count] of wrong) {
    problems.add(`${checkpoint.dir}: tensor "${name}" has ${count} numbers that are not finite`);
  }
  return names.length;
}
