import { basename } from 'node:path';
import { DataError } from '@flex/base';
import { type ReadCompletionsOptions, readCompletions } from '@flex/datasets';
import { type Batch, chunk, collate } from './batches.ts';
import { type EncodeOptions, type Example, encodeExample, type TokenizerLike, UNSCORED } from './encode.ts';
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
  /** Tokens of the longest example, packed or not. */
  readonly longest: number;
  /** What became of its rows where that is not plain: left out, cut, packed; a line each. */
  readonly notes: readonly string[];
  /** The examples in batches of like length, the shortest first: the quickest way to see each once. */
  batches(size: number): Batch[];
}

/** Reads and encodes a data set. Throws ConfigError or DataError, one line, for what is wrong with it. */
export async function loadDataSet(source: DataSource, tokenizer: TokenizerLike): Promise<DataSet> {
  const { maxLength, packing = false } = source;
  const { completions, split, withoutSolution } = await readCompletions(source.source, source);
  const encoded = completions.map((lesson) => encodeExample(lesson, tokenizer, source));
  const single = encoded.filter((example) => example !== null);
  const name = `${basename(source.source)} ${split}`;
  if (single.length === 0) {
    throw new DataError(
      `${source.source}: no row of split ${split} has a token to score within ${maxLength} tokens; raise max_length`,
    );
  }
  const total = (of: (example: Example) => number) => single.reduce((sum, example) => sum + of(example), 0);
  const counts: DataCounts = {
    selected: completions.length + withoutSolution,
    withoutSolution,
    withoutScoredToken: encoded.length - single.length,
    examples: single.length,
    cut: single.filter(({ cut }) => cut).length,
    tokens: total(({ input_ids }) => input_ids.length),
    scoredTokens: total(({ labels }) => labels.filter((label) => label !== UNSCORED).length),
  };
  const examples = packing ? packExamples(single, maxLength) : single;
  const width = examples.reduce((most, { input_ids }) => Math.max(most, input_ids.length), 0);
  const full = (100 * counts.tokens) / (examples.length * width);
  const notes = [
    [counts.withoutSolution, 'rows without a solution are left out'],
    [counts.withoutScoredToken, `rows with nothing to score in ${maxLength} tokens are left out`],
    [counts.cut, `examples are cut at ${maxLength} tokens`],
    [
      packing ? counts.examples : 0,
      `examples are packed into ${examples.length} rows of up to ${width} tokens, ${full.toFixed(1)} % full`,
    ],
  ] as const;
  return {
    name,
    source: source.source,
    split,
    examples,
    counts,
    longest: single.reduce((most, { input_ids }) => Math.max(most, input_ids.length), 0),
    notes: notes.filter(([count]) => count > 0).map(([count, what]) => `${name}: ${count} ${what}`),
    batches(size) {
      const byLength = [...examples].sort((a, b) => a.input_ids.length - b.input_ids.length);
      return chunk(byLength, size).map(collate);
    },
  };
}
