import { basename } from 'node:path';
import { DataError } from '@flex/base';
import { type ReadCompletionsOptions, readCompletions } from '@flex/datasets';
import { type Batch, chunk, collate } from './batches.ts';
import { type EncodeOptions, type Example, encodeExample, type TokenizerLike } from './encode.ts';

/** What names a data set and says how it is read: `data` of a configuration, or an entry of its `eval`. */
export interface DataSource extends ReadCompletionsOptions, EncodeOptions {
  readonly source: string;
}

/** Encoded examples of one source and split. */
export interface DataSet {
  /** `mbpp.jsonl 511-600`. */
  readonly name: string;
  readonly source: string;
  /** The split that was taken. */
  readonly split: string;
  readonly examples: readonly Example[];
  /** Rows that were left out, and why; a line each. */
  readonly skipped: readonly string[];
  /** The examples in batches of like length, the shortest first: the quickest way to see each once. */
  batches(size: number): Batch[];
}

/** Reads and encodes a data set. Throws ConfigError or DataError, one line, for what is wrong with it. */
export async function loadDataSet(source: DataSource, tokenizer: TokenizerLike): Promise<DataSet> {
  const { completions, split, withoutSolution } = await readCompletions(source.source, source);
  const encoded = completions.map((completion) => encodeExample(completion, tokenizer, source));
  const examples = encoded.filter((example) => example !== null);
  const name = `${basename(source.source)} ${split}`;
  if (examples.length === 0) {
    throw new DataError(
      `${source.source}: no row of split ${split} has a token to score within ${source.maxLength} tokens; raise max_length`,
    );
  }
  const unscorable = encoded.length - examples.length;
  const skipped = [
    ...(withoutSolution > 0 ? [`${name}: ${withoutSolution} rows without a solution are left out`] : []),
    ...(unscorable > 0
      ? [`${name}: ${unscorable} rows with nothing to score in ${source.maxLength} tokens are left out`]
      : []),
  ];
  return {
    name,
    source: source.source,
    split,
    examples,
    skipped,
    batches(size) {
      const byLength = [...examples].sort((a, b) => a.input_ids.length - b.input_ids.length);
      return chunk(byLength, size).map(collate);
    },
  };
}
