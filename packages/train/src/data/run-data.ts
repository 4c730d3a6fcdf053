import { DataError } from '@flex/base';
import { type Format, findOverlaps, type Overlaps, overlapRule } from '@flex/datasets';
import { beyondContext, openChatTemplate, openTokenizer, readConfig } from '@flex/llama';
import type { TrainConfig } from '../config.ts';
import { namedFormat } from '../named-parts.ts';
import { makePart, type PartSection, titleOf } from '../parts.ts';
import { type DataSet, loadDataSet } from './data-set.ts';
import { describeSame } from './describe-data.ts';
import type { TokenizerLike } from './encode.ts';

/** The data of a run. */
export interface RunData {
  readonly data: DataSet;
  readonly heldOut: readonly DataSet[];
  /** Of the training data with each held-out set, in their order, and with itself. */
  readonly overlaps: Overlaps & { readonly rule: typeof overlapRule };
}

/**
 * Reads and encodes the data of a run. Held-out data without a `maxLength` have the model's context as
 * theirs.
 *
 * Throws ConfigError or DataError for what is wrong with them, and DataError for an example to train on that
 * is longer than the model's context; of held-out data with one, their notes say so.
 */
export async function loadRunData(config: TrainConfig): Promise<RunData> {
  const model = readConfig(config.model);
  const tokenizer = tokenizerOf(config.model);
  const load = async ({ format, maxLength, ...source }: TrainConfig['eval'][number]) => {
    const known = typeof format === 'string' ? format : await formatOf(format);
    return loadDataSet({ ...source, maxLength: maxLength ?? model.maxPositions, format: known }, tokenizer);
  };
  const training = await load(config.data);
  const held = await Promise.all(config.eval.map(load));
  const heldOut = distinct(held.map(({ set }) => noted(set, beyondContext(model, set.longest))));
  const { name, longest } = training.set;
  if (longest > model.maxPositions) {
    throw new DataError(
      `${name}: has an example of ${longest} tokens; the model's context is ${model.maxPositions}`,
    );
  }
  const sets = held.map(({ prints }, i) => ({ name: heldOut[i].name, rows: prints }));
  const overlaps = { rule: overlapRule, ...(await findOverlaps(training.prints, sets)) };
  return { data: training.set, heldOut, overlaps };
}

/**
 * Throws DataError where rows are trained on that are held out too, by text or by task, unless
 * `data.allowOverlap`.
 */
export function requireApart({ data: { allowOverlap } }: TrainConfig, { data, overlaps }: RunData): void {
  const shared = overlaps.sets.find(({ same }) => same.of > 0);
  if (shared && !allowOverlap) throw new DataError(describeSame(data.name, shared));
}

/** A format of one's own, whose errors say its name. */
async function formatOf(section: PartSection): Promise<Format> {
  const made = await makePart('format', section, undefined);
  return namedFormat(titleOf('format', made), made.value);
}

/** The set with what else is to be told of it. */
const noted = (set: DataSet, line: string | null): DataSet =>
  line === null ? set : { ...set, notes: [...set.notes, `${set.name}: ${line}`] };

/** The sets under names of their own: one that a set before it has gets its number behind it. */
function distinct(sets: readonly DataSet[]): DataSet[] {
  const count = (i: number) => sets.slice(0, i + 1).filter(({ name }) => name === sets[i].name).length;
  return sets.map((set, i) => (count(i) > 1 ? { ...set, name: `${set.name} (${count(i)})` } : set));
}

/**
 * The model's tokenizer and chat template, opened when a text or a chat needs them: rows of token ids need
 * none.
 */
function tokenizerOf(model: string): TokenizerLike {
  const tokenizer = once(() => openTokenizer(model));
  return {
    vocabSize: readConfig(model).vocabSize,
    get bosId() {
      return tokenizer().bosId;
    },
    get eosId() {
      return tokenizer().eosId;
    },
    chatTemplate: once(() => openChatTemplate(model)),
    encode: (text, options) => tokenizer().encode(text, options),
    decodeStream: (options) => tokenizer().decodeStream(options),
  };
}

function once<T>(open: () => T): () => T {
  let opened: { readonly value: T } | undefined;
  return () => {
    opened ??= { value: open() };
    return opened.value;
  };
}
