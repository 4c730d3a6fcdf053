import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { type Example, UNSCORED } from './encode.ts';

/** Examples side by side, each filled up on the right to the longest with token 0, which is never scored. */
export interface Batch {
  readonly b: number;
  /** The longest example's number of tokens. */
  readonly t: number;
  /** i32 [b, t] */
  readonly input_ids: Int32Array;
  /** i32 [b, t] */
  readonly labels: Int32Array;
  /**
   * i32 [b, t], where an example holds several documents: the place of the first token of each token's
   * document.
   */
  readonly starts?: Int32Array;
  /** i32 [b]: each example's own number of tokens. */
  readonly lengths: Int32Array;
  /** Σ lengths: the tokens that are no padding. */
  readonly tokens: number;
  /** The `rows` of each example. */
  readonly rows: readonly (readonly string[])[];
}

export interface PlanOptions {
  /** Examples that go through the model at a time. */
  readonly batchSize: number;
  /** Batches an update. */
  readonly gradAccumulation: number;
  readonly epochs: number;
  /** The number of updates, whatever `epochs` says; null leaves it to `epochs`. */
  readonly maxSteps: number | null;
  readonly shuffle: boolean;
  /** A whole number below 2³². */
  readonly seed: number;
}

/** Which examples each update takes. */
export interface Plan {
  /** Updates of the whole run. */
  readonly steps: number;
  /** The batches of an update, counted from 1, as places among the examples. */
  batches(step: number): number[][];
  /** How often the examples have been gone through after an update: 1.5 is one and a half times. */
  epochAfter(step: number): number;
}

/**
 * Goes through the examples epoch by epoch, `batchSize` at a time, consecutive or in a new random order each
 * epoch. The last batch of an epoch and its last update may be smaller; none reaches into the next epoch.
 * An update's examples follow from its number and the options: a resumed run need remember no place.
 */
export function planUpdates(count: number, options: PlanOptions): Plan {
  const { batchSize, gradAccumulation, epochs, maxSteps, shuffle, seed } = options;
  const perUpdate = batchSize * gradAccumulation;
  const perEpoch = Math.ceil(count / perUpdate);
  const inOrder = Array.from({ length: count }, (_, i) => i);
  let shuffled: { readonly epoch: number; readonly order: readonly number[] } | undefined;
  const orderOf = (epoch: number): readonly number[] => {
    if (!shuffle) return inOrder;
    if (shuffled?.epoch !== epoch) shuffled = { epoch, order: permutation(count, seed, epoch) };
    return shuffled.order;
  };
  return {
    steps: maxSteps ?? perEpoch * epochs,
    batches: (step) => {
      const epoch = Math.floor((step - 1) / perEpoch);
      const start = ((step - 1) % perEpoch) * perUpdate;
      return chunk(orderOf(epoch).slice(start, start + perUpdate), batchSize);
    },
    epochAfter: (step) => {
      const inEpoch = (step - 1) % perEpoch;
      return (step - 1 - inEpoch) / perEpoch + Math.min(1, ((inEpoch + 1) * perUpdate) / count);
    },
  };
}

/**
 * A permutation of 0…count−1, every one equally likely: Fisher and Yates's shuffle with xoroshiro128+, of
 * which epoch e takes the stream e jumps (of 2⁶⁴ numbers) after the seed's first.
 *
 * NUMERICS: the order of training is fixed by this.
 */
export function permutation(count: number, seed: number, epoch: number): number[] {
  const random = xoroshiro128plus(seed | 0);
  for (let jump = 0; jump < epoch; jump++) random.jump();
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** The list in consecutive pieces of `size`; the last may be shorter. */
export function chunk<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) =>
    list.slice(i * size, (i + 1) * size),
  );
}

/** The examples as one batch. */
export function collate(examples: readonly Example[]): Batch {
  const b = examples.length;
  const lengths = Int32Array.from(examples, ({ input_ids }) => input_ids.length);
  const t = lengths.reduce((longest, length) => Math.max(longest, length), 0);
  const input_ids = new Int32Array(b * t);
  const labels = new Int32Array(b * t).fill(UNSCORED);
  for (const [i, example] of examples.entries()) {
    input_ids.set(example.input_ids, i * t);
    labels.set(example.labels, i * t);
  }
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const batch = { b, t, input_ids, labels, lengths, tokens, rows: examples.map(({ rows }) => rows) };
  if (!examples.some((example) => example.starts)) return batch;
  const starts = new Int32Array(b * t);
  for (const [i, example] of examples.entries()) {
    // The padding is a document that nobody scores.
    starts.fill(lengths[i], i * t + lengths[i], (i + 1) * t);
    if (example.starts) starts.set(example.starts, i * t);
  }
  return { ...batch, starts };
}
