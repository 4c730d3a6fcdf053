import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { ConfigError, DataError, makeFolder, readWhole, writeAtomic } from '@flex/base';
import { type WrittenCheckpoint, writeCheckpoint } from '@flex/llama';
import { roundedCheckpoint } from '@flex/peft';
import { digestModel, versions } from '@flex/train';
import { type StorageErrors, storageErrors } from './layer-errors.ts';
import { type MergedModel, openMerged, quantizedModules } from './merged-model.ts';

/** A dtype's name in a command, in a file of weights, and in config.json. */
const dtypes = {
  f32: { stored: 'F32', config: 'float32' },
  f16: { stored: 'F16', config: 'float16' },
  bf16: { stored: 'BF16', config: 'bfloat16' },
} as const;
export type MergeDType = keyof typeof dtypes;
export const mergeDTypes = Object.keys(dtypes) as MergeDType[];

export interface MergeOptions {
  readonly model: string;
  readonly adapter: string;
  readonly out: string;
  /** Left out: the model's own. */
  readonly dtype?: MergeDType;
  /** Left out: nothing but the dtype rounds. */
  readonly roundTo?: 'int8' | 'nf4';
}

/** What was merged and written. */
export interface MergeReport extends WrittenCheckpoint {
  readonly out: string;
  readonly dtype: MergeDType;
  readonly rounded_to: 'int8' | 'nf4' | null;
  /** Weights that the adapter changed. */
  readonly changed: number;
  /** What rounding to int8 or nf4 lost of the adapter; null where it was not asked for. */
  readonly rounding: StorageErrors | null;
  readonly warnings: readonly string[];
}

/** What a model's folder has besides weights and config.json and a merged one has too. */
const companions = new RegExp(
  '^(generation_config\\.json|tokenizer.*|special_tokens_map\\.json|added_tokens\\.json|vocab\\..*|merges\\.txt|' +
    'chat_template.*|(licen[cs]e|notice|use_policy).*)$',
  'i',
);

/** Bytes of such a file at most; the largest vocabularies are some 30 MB. */
const mostBytes = 1 << 27;

/**
 * Writes a model with an adapter merged in, a Hugging Face folder that transformers loads: weights W + s·B·A,
 * each rounded once to the dtype, config.json, the tokenizer's files, and merge.json, which tells what it was
 * made of. With `roundTo`, the linear layers but the head are rounded to the values of int8 or nf4 first;
 * they are stored as the dtype all the same. The folder appears whole or not at all.
 *
 * Throws ConfigError where `out` is there and not empty, DataError for what is wrong with the model or the
 * adapter, for a number that the dtype cannot hold, and where the disk refuses.
 */
export async function writeMerged(options: MergeOptions): Promise<MergeReport> {
  const { model, adapter, out, roundTo = null } = options;
  requireFree(out);
  const opened = await openMerged(model, adapter);
  const { merged, base, config, changes, warnings } = opened;
  try {
    const dtype = options.dtype ?? ownDType(opened);
    const made = { dtype, rounded_to: roundTo, changed: changes.size };
    const rounding = roundTo && storageErrors(opened, [roundTo]).get(roundTo)!;
    const record = {
      kind: 'flex-merge',
      ...made,
      model: digestModel(model),
      adapter: digestModel(adapter),
      versions: versions(),
    };
    const weights = roundTo ? roundedCheckpoint(merged, roundTo, quantizedModules(config)) : merged;
    let written: WrittenCheckpoint | undefined;
    wholeFolder(out, (folder) => {
      written = writeCheckpoint(folder, weights, { dtype: dtypes[dtype].stored });
      copyCompanions(model, folder);
      writeAtomic(join(folder, 'merge.json'), `${JSON.stringify(record, null, 2)}\n`);
      writeAtomic(join(folder, 'config.json'), configOf(model, dtype, opened));
    });
    return { out, ...made, ...written!, rounding, warnings };
  } finally {
    base.close();
  }
}

/** The dtype that config.json names; where it names none, that of the embedding. */
function ownDType({ config, base }: MergedModel): MergeDType {
  if (config.torchDtype) return config.torchDtype;
  const { dtype } = base.spec('model.embed_tokens.weight');
  return mergeDTypes.find((name) => dtypes[name].stored === dtype) ?? 'f32';
}

/** The model's config.json, but for the dtype that is stored and a tie that the adapter has cut. */
function configOf(model: string, dtype: MergeDType, { isUntied }: MergedModel): string {
  const text = readWhole(join(model, 'config.json')).toString();
  const keys = ['dtype', 'torch_dtype'].filter((key) => memberOf(key).test(text));
  const named = (keys.length > 0 ? keys : ['torch_dtype']).map((key) => [key, dtypes[dtype].config] as const);
  const changes = isUntied ? [...named, ['tie_word_embeddings', false] as const] : named;
  return changes.reduce((before, [key, value]) => {
    const member = `"${key}": ${JSON.stringify(value)}`;
    if (memberOf(key).test(before)) return before.replace(memberOf(key), member);
    return before.replace('{', `{\n  ${member},`);
  }, text);
}

/**
 * Finds a member whose value is a text or a word. The text is edited, as Python tells 1.0 from 1 and
 * JSON.parse not.
 */
const memberOf = (key: string) => new RegExp(`"${key}"\\s*:\\s*("[^"]*"|null|true|false)`);

function copyCompanions(model: string, folder: string): void {
  for (const name of readdirSync(model)) {
    const source = join(model, name);
    const isCompanion = companions.test(name) && statSync(source).isFile();
    if (isCompanion) writeAtomic(join(folder, name), readWhole(source, mostBytes));
  }
}

function requireFree(out: string): void {
  if (out.trim() === '') throw new ConfigError('--out: is empty; name a folder that is not there');
  const stats = statSync(out, { throwIfNoEntry: false });
  if (!stats) return;
  if (!stats.isDirectory()) throw new ConfigError(`--out: ${out} is a file; name a folder that is not there`);
  if (readdirSync(out).length > 0) {
    throw new ConfigError(`--out: ${out} is not empty; name a folder that is not there`);
  }
}

/**
 * Makes a folder of what `fill` writes into it: under another name, which a run that stopped leaves and the
 * next one removes, until all of it is there.
 */
function wholeFolder(out: string, fill: (folder: string) => void): void {
  const path = resolve(out);
  makeFolder(dirname(path));
  const partial = join(dirname(path), `.${basename(path)}.partial`);
  try {
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(partial);
    fill(partial);
    if (existsSync(path)) rmdirSync(path);
    renameSync(partial, path);
  } catch (cause) {
    rmSync(partial, { recursive: true, force: true });
    if (!(cause instanceof Error) || !('syscall' in cause)) throw cause;
    throw new DataError(`${out}: cannot be written: ${cause.message}`, { cause });
  }
}
