import { DataError, lastName } from '@flex/base';
import { type PlacedId, type ReadCompletionsOptions, type RowPrint, readCompletions } from '@flex/datasets';
import { type Batch, collate } from './batches.ts';
import {
  type EncodeOptions,
  type Example,
  encodeExample,
  isScored,
  type TokenizerLike,
  UNSCORED,
} from './encode.ts';
import { packExamples } from './pack.ts';

/** What names a data set and says how it is read: `data` of a configuration, or an entry of its `eval`. */
export interface DataSource extends ReadCompletionsOptions, EncodeOptions {
  readonly source: string;
  /**
   * Whether several examples share a row of up to maxLength tokens, as documents that do not see each other.
   */
  readonly packing?: boolean;
}

/** What became of the rows of a source. */
export interface DataCounts {
  /** Rows that the split selects: the examples, and those that are left out for one of two reasons. */
  readonly selected: number;
  readonly withoutSolution: number;
  /** With nothing to score in the first maxLength tokens. */
  readonly withoutScoredToken: number;
  readonly examples: number;
  /** Examples whose end is cut off at maxLength tokens. */
  readonly cut: number;
  readonly tokens: number;
  readonly scoredTokens: number;
}

/** A row that is left out, or whose end is. */
export interface LostRow extends PlacedId {
  readonly reason: 'without_solution' | 'without_scored_token' | 'cut';
  /** Of its text; null where it has no solution. */
  readonly tokens: number | null;
  /** How many of them are learnt from or scored. */
  readonly kept: number;
}

/** Encoded examples of one source and split. */
export interface DataSet {
  /** `mbpp.jsonl 511-600`. */
  readonly name: string;
  readonly source: string;
  /** The split that was taken. */
  readonly split: string;
  /** What batches take: an example each, or with packing several. */
  readonly examples: readonly Example[];
  readonly counts: DataCounts;
  /** Tokens at which examples of text are cut. */
  readonly maxLength: number;
  /** Tokens of the longest example, packed or not. */
  readonly longest: number;
  /** Tokens of the longest row of token ids, which maxLength does not cut; 0: there is none. */
  readonly uncut: number;
  /** Tokens of every row's text that has a solution, before anything is cut off. */
  readonly lengths: readonly number[];
  /** Every row that is left out or cut, in the order of the source. */
  readonly lost: readonly LostRow[];
  /** What is to be told of the set as a whole, a line each: how it is packed. */
  readonly notes: readonly string[];
  /**
   * The examples in batches of like length, the shortest first: the quickest way to see each once. A batch
   * has at most `size` of them and at most 8,192 tokens, padding included, unless one example has more.
   */
  batches(size: number): Batch[];
}

/** A data set, and what each of its examples is recognised by in other sets. */
export interface LoadedDataSet {
  readonly set: DataSet;
  readonly prints: readonly RowPrint[];
}

/** Tokens of a batch of held-out examples at the most, whose lengths `data.max_length` does not bound. */
const batchTokens = 8192;

/** Reads and encodes a data set. Throws ConfigError or DataError, one line, for what is wrong with it. */
export async function loadDataSet(source: DataSource, tokenizer: TokenizerLike): Promise<LoadedDataSet> {
  const { maxLength, packing = false } = source;
  const { completions, prints, split, withoutSolution } = await readCompletions(source.source, source);
  const rows = completions.map((lesson, i) => ({
    example: encodeExample(lesson, tokenizer, source),
    print: prints[i],
  }));
  const learnt = rows.filter(({ example }) => isScored(example));
  const single = learnt.map(({ example }) => example);
  const name = `${lastName(source.source)} ${split}`;
  if (single.length === 0) {
    throw new DataError(
      `${source.source}: no row of split ${split} has a token to score within ${maxLength} tokens; raise max_length`,
    );
  }
  const total = (of: (example: Example) => number) => single.reduce((sum, example) => sum + of(example), 0);
  const lost = [
    ...withoutSolution.map((row): LostRow => ({ ...row, reason: 'without_solution', tokens: null, kept: 0 })),
    ...rows.flatMap(({ example, print: { where, id } }): LostRow[] => {
      const { wholeLength: tokens, input_ids } = example;
      const row = { where, id, tokens };
      if (!isScored(example)) return [{ ...row, reason: 'without_scored_token', kept: 0 }];
      return tokens > input_ids.length ? [{ ...row, reason: 'cut', kept: input_ids.length }] : [];
    }),
  ];
  const counts: DataCounts = {
    selected: completions.length + withoutSolution.length,
    withoutSolution: withoutSolution.length,
    withoutScoredToken: rows.length - single.length,
    examples: single.length,
    cut: lost.filter(({ reason }) => reason === 'cut').length,
    tokens: total(({ input_ids }) => input_ids.length),
    scoredTokens: total(({ labels }) => labels.filter((label) => label !== UNSCORED).length),
  };
  const examples = packing ? packExamples(single, maxLength) : single;
  const width = examples.reduce((most, { input_ids }) => Math.max(most, input_ids.length), 0);
  const full = (100 * counts.tokens) / (examples.length * width);
  const packed = `examples are packed into ${examples.length} rows of up to ${width} tokens, ${full.toFixed(1)} % full`;
  const set: DataSet = {
    name,
    source: source.source,
    split,
    examples,
    counts,
    maxLength,
    uncut: completions.reduce((n, row) => Math.max(n, 'inputIds' in row ? row.inputIds.length : 0), 0),
    longest: single.reduce((most, { input_ids }) => Math.max(most, input_ids.length), 0),
    lengths: rows.map(({ example }) => example.wholeLength),
    lost,
    notes: packing ? [`${name}: ${counts.examples} ${packed}`] : [],
    batches(size) {
      const byLength = [...examples].sort((a, b) => a.input_ids.length - b.input_ids.length);
      return batchesOfLike(byLength, size).map(collate);
    },
  };
  return { set, prints: learnt.map(({ print }) => print) };
}

/** Examples of rising length in batches, each as large as `size` and `batchTokens` let it. */
function batchesOfLike(examples: readonly Example[], size: number): Example[][] {
  const batches: Example[][] = [];
  for (const example of examples) {
    const batch = batches.at(-1);
    const mayJoin =
      batch && batch.length < size && (batch.length + 1) * example.input_ids.length <= batchTokens;
    if (mayJoin) batch.push(example);
    else batches.push([example]);
  }
  return batches;
}
