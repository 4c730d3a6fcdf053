import { scoredTokens, type TokenBatch } from '@flex/llama';
import type { TrainConfig } from './config.ts';
import { collate, type Plan } from './data/batches.ts';
import type { DataSet } from './data/data-set.ts';

/** The batches of a run that need the most memory: those of the most tokens, padding among them. */
export interface LargestBatches {
  readonly training: TokenBatch;
  /** The fewest tokens that `data.max_length` can make of its rows. */
  readonly uncut: number;
  /** Whether an update has several, whose gradients are summed. */
  readonly accumulated: boolean;
  /** Null: nothing is held out. */
  readonly heldOut: HeldOutBatch | null;
}

export interface HeldOutBatch {
  readonly batch: TokenBatch;
  /** Of its set in `eval`. */
  readonly place: number;
  readonly uncut: number;
}

/** The largest batches of a run's updates and evaluations. */
export function largestBatches(
  { train }: TrainConfig,
  {
    data,
    heldOut,
    plan,
  }: { readonly data: DataSet; readonly heldOut: readonly DataSet[]; readonly plan: Plan },
): LargestBatches {
  const lengths = data.examples.map(({ input_ids }) => input_ids.length);
  const longest = (places: readonly number[]) => places.reduce((most, i) => Math.max(most, lengths[i]), 0);
  const bound = Math.min(train.batchSize, lengths.length) * longest([...lengths.keys()]);
  let largest: readonly number[] = [];
  for (let step = 1, most = 0; step <= plan.steps && most < bound; step++) {
    for (const batch of plan.batches(step)) {
      const tokens = batch.length * longest(batch);
      if (tokens > most) [largest, most] = [batch, tokens];
    }
  }
  const held = heldOut.flatMap((set, place) =>
    set.batches(train.batchSize).map((batch): HeldOutBatch => ({ batch, place, uncut: set.uncut })),
  );
  const tokens = ({ b, t }: TokenBatch) => b * t;
  return {
    training: collate(largest.map((i) => data.examples[i])),
    uncut: data.uncut,
    accumulated: plan.batches(1).length > 1,
    heldOut: held.reduce<HeldOutBatch | null>(
      (a, b) => (a && tokens(a.batch) >= tokens(b.batch) ? a : b),
      null,
    ),
  };
}

/** Up to b rows of up to t tokens of a batch; something is scored in them. */
export function cropped(batch: TokenBatch, rows: number, tokens: number): TokenBatch {
  const [b, t] = [Math.min(rows, batch.b), Math.min(tokens, batch.t)];
  const crop = (numbers: Int32Array) =>
    Int32Array.from({ length: b * t }, (_, i) => numbers[Math.floor(i / t) * batch.t + (i % t)]);
  const { starts } = batch;
  const made = {
    b,
    t,
    input_ids: crop(batch.input_ids),
    labels: crop(batch.labels),
    ...(starts && { starts: crop(starts) }),
  };
  if (scoredTokens(made) === 0) made.labels[t - 1] = 0;
  return made;
}
