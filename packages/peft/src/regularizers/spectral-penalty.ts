import { add, scope, sum, type Tensor, tensor } from '@flex/tensor';
import type { Adapters } from '../adapters.ts';
import type { Regularizer } from '../regularizer.ts';
import { weightedSquare } from './weighted-square.ts';

/** What is made of signals of one length. */
export interface Transformed {
  readonly length: number;
  /** Their transforms, one a row: f32 [rows, parts]. */
  readonly parts: Tensor;
}

/** A transform and its weights: for signals of one length, a number for each part of a transform. */
export interface SpectralRule {
  /** Of all signals of an adapter, those of one length together. */
  transform(adapters: Adapters): readonly Transformed[];
  /** c: what a part's square costs. */
  costs(length: number): Float64Array;
  /** m: how often it counts as power. */
  counts(length: number): Float64Array;
  /** m below the threshold, 0 from there on. */
  countsBelow(length: number): Float64Array;
}

export interface SpectralRegularizer extends Regularizer {
  /** `share_below`: the share of the power of all signals that is below the threshold; 0 where there is none. */
  diagnostics(adapters: Adapters): Promise<{ share_below: number }>;
}

/** L = Σ over signals Σ_i c_i·x̂_i², x̂ the parts of a signal's transform. */
export function spectralPenalty(rule: SpectralRule): SpectralRegularizer {
  const [costs, counts, countsBelow] = [rule.costs, rule.counts, rule.countsBelow].map(cached);
  const total = (all: readonly Transformed[], weights: (length: number) => Float64Array) =>
    all
      .map(({ length, parts }) => {
        const { backend, shape } = parts;
        return sum(weightedSquare(tensor(backend, weights(length), [shape[1]]), parts));
      })
      .reduce(add);
  return {
    penalty: (adapters) => scope(() => total(rule.transform(adapters), costs)),
    async diagnostics(adapters) {
      const [below, all] = scope(() => {
        const transformed = rule.transform(adapters);
        return [total(transformed, countsBelow), total(transformed, counts)];
      });
      const [low, whole] = [await below.item(), await all.item()];
      below.dispose();
      all.dispose();
      return { share_below: whole === 0 ? 0 : low / whole };
    },
  };
}

function cached(f: (length: number) => Float64Array): (length: number) => Float64Array {
  const known = new Map<number, Float64Array>();
  return (length) => {
    const found = known.get(length) ?? f(length);
    known.set(length, found);
    return found;
  };
}
