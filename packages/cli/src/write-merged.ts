import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  beginProvenance,
  ConfigError,
  codeOf,
  DataError,
  digestJson,
  finishProvenance,
  type InputFiles,
  type Inputs,
  isLockFile,
  lockFolder,
  openInputFiles,
  readWhole,
  requireOwnFolder,
  settingOf,
  sourceOf,
  writeAtomic,
} from '@flex/base';
import { quantizedModules, type WrittenCheckpoint, writeCheckpoint } from '@flex/llama';
import { roundedCheckpoint } from '@flex/peft';
import { decidesModel } from '@flex/train';
import { type StorageErrors, storageErrors } from './layer-errors.ts';
import { type MergedModel, openMerged } from './merged-model.ts';

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
 * they are stored as the dtype all the same. Nothing can be loaded from the folder before all of it is there,
 * and no other process writes into it meanwhile.
 *
 * Throws ConfigError where `out` is no folder of its own, is there and not empty, or is being written into by
 * another process, DataError for what is wrong with the model or the adapter, for a number that the dtype
 * cannot hold, and where the disk refuses.
 */
export async function writeMerged(options: MergeOptions): Promise<MergeReport> {
  const { model, adapter, out } = options;
  requireOwnFolder('--out', out, [
    { of: 'the model', path: model },
    { of: 'the adapter', path: adapter },
  ]);
  if (statSync(out, { throwIfNoEntry: false })?.isFile()) {
    throw new ConfigError(`--out: ${out} is a file; name a folder that is not there`);
  }
  const lock = lockFolder(out);
  try {
    const report = await writeLocked(options);
    return { ...report, warnings: [lock.note, ...report.warnings].filter((line) => line !== null) };
  } finally {
    lock.release();
  }
}

async function writeLocked(options: MergeOptions): Promise<MergeReport> {
  const { model, adapter, out, roundTo = null } = options;
  requireEmpty(out);
  const setting = settingOf(codeOf(join(import.meta.dirname, '..')), null);
  const opened = await openMerged(model, adapter);
  const { merged, base, config, changes, warnings } = opened;
  try {
    const dtype = options.dtype ?? ownDType(opened);
    const made = { dtype, rounded_to: roundTo, changed: changes.size };
    const rounding = roundTo && storageErrors(opened, [roundTo]).get(roundTo)!;
    const files = openInputFiles();
    const provenance = beginProvenance(inputsOf(options, dtype, files), setting);
    const weights = roundTo ? roundedCheckpoint(merged, roundTo, quantizedModules(config)) : merged;
    let written: WrittenCheckpoint | undefined;
    fillWhole(out, (folder) => {
      written = writeCheckpoint(folder, weights, { dtype: dtypes[dtype].stored });
      copyCompanions(model, folder);
      writeAtomic(join(folder, 'config.json'), configOf(model, dtype, opened));
      // The weights were read as they were written.
      files.requireUnchanged();
      const record = { kind: 'flex-merge', ...made, provenance: finishProvenance(provenance) };
      writeAtomic(join(folder, 'merge.json'), `${JSON.stringify(record, null, 2)}\n`);
    });
    return { out, ...made, ...written!, rounding, warnings };
  } finally {
    base.close();
  }
}

/** What goes into a merged model. */
function inputsOf({ model, adapter, roundTo }: MergeOptions, dtype: MergeDType, files: InputFiles): Inputs {
  const source = (folder: string) => sourceOf(folder, files.digest(folder, decidesModel));
  return {
    model: source(model),
    adapters: [{ ...source(adapter), weight: 1 }],
    merged: roundTo ?? dtype,
    dtype,
    samples: null,
    data: [],
    modules: [],
    options: digestJson({ dtype, roundTo: roundTo ?? null }),
    seeds: {},
  };
}

/** The dtype that config.json names; where it names none, that of the embedding. */
export function ownDType({ config, base }: Pick<MergedModel, 'config' | 'base'>): MergeDType {
  if (config.torchDtype) return config.torchDtype;
  // Tied, it may be there as the head alone.
  const [embedding] = ['model.embed_tokens.weight', 'lm_head.weight'].filter(base.has);
  const { dtype } = base.spec(embedding);
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

/**
 * Where a merge writes until all of it is there. One that was killed leaves it, and the next one removes it.
 */
const partial = '.partial';

function requireEmpty(out: string): void {
  if (readdirSync(out).some((name) => name !== partial && !isLockFile(name))) {
    throw new ConfigError(`--out: ${out} is not empty; name a folder that is not there`);
  }
}

/**
 * Gives an empty folder what `fill` writes: into another one in it, of which all comes out when all is there,
 * config.json, without which nothing loads the rest, last. A failure leaves nothing.
 */
function fillWhole(out: string, fill: (folder: string) => void): void {
  const folder = join(out, partial);
  let moved: string[] = [];
  try {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    fill(folder);
    moved = readdirSync(folder).sort((a, b) => Number(a === 'config.json') - Number(b === 'config.json'));
    for (const name of moved) renameSync(join(folder, name), join(out, name));
    rmdirSync(folder);
  } catch (cause) {
    for (const name of [...moved, partial]) rmSync(join(out, name), { recursive: true, force: true });
    if (!(cause instanceof Error) || !('syscall' in cause)) throw cause;
    throw new DataError(`${out}: cannot be written: ${cause.message}`, { cause });
  }
}
