import { grad, mapTree } from '@flex/autograd';
import { add, mul, reshape, scope, size, sqrt, square, sum, type Tensor } from '@flex/tensor';
import { withoutRecorders } from '@flex/tensor/kernel';
import { type AdapterPair, type Adapters, flattenAdapters } from '../adapters.ts';
import type { Regularizer, RegularizerContext } from '../regularizer.ts';
import { ratio } from './matched-l2.ts';
import { reorder } from './reorder.ts';
import { permutation } from './signals.ts';

/** What can stand in for any penalty as its control, by name. */
export const standIns = ['matched-l2', 'permuted-order'] as const;
export type StandIn = (typeof standIns)[number];

/** How a stand-in is made. */
export interface StandInMaker {
  /** What the penalty that it stands in for is to be told. */
  readonly context: RegularizerContext;
  /** The stand-in for a penalty that was made with that context. */
  of(regularizer: Regularizer): Regularizer;
}

/**
 * What stands in for a penalty P, whatever P is:
 *
 * - `matched-l2`: L = Σ c_w·Σ w² over each A and B, c_w = ‖∇_w P‖/(2‖w‖) at every update, a constant to
 *   gradients: every matrix is pulled as strongly as by P, but straight to zero. One of zeros is not pulled.
 * - `permuted-order`: P of the adapter with the elements of each A and B in an order that the run's seed
 *   decides, the same for matrices of one size: what P finds in where a number stands means nothing.
 */
export function standIn(kind: StandIn, context: RegularizerContext): StandInMaker {
  if (kind === 'matched-l2') return { context, of: matchedTo };
  const permuted = permutedBy(context.seed);
  return {
    context: { ...context, start: () => scope(() => permuted(context.start())) },
    of: (regularizer) => ({
      penalty: (adapters, step) => scope(() => regularizer.penalty(permuted(adapters), step)),
    }),
  };
}

function matchedTo(regularizer: Regularizer): Regularizer {
  const factors = (adapters: Adapters, step: number) => {
    const pulls = flattenAdapters(grad((w) => regularizer.penalty(w, step), adapters));
    return [...flattenAdapters(adapters)].map(([name, w]) => ratio(norm(pulls.get(name)!), mul(norm(w), 2)));
  };
  return {
    penalty: (adapters, step) =>
      scope(() => {
        const constant = withoutRecorders(() => scope(() => factors(adapters, step)));
        const energies = [...flattenAdapters(adapters).values()].map((w) => sum(square(w)));
        return energies.map((energy, i) => mul(energy, constant[i])).reduce(add);
      }),
  };
}

/** ‖w‖₂: f32 []. */
const norm = (w: Tensor): Tensor => sqrt(sum(square(w)));

function permutedBy(seed: number): (adapters: Adapters) => Map<string, AdapterPair> {
  const byLength = new Map<number, Int32Array>();
  const places = (length: number): Int32Array => {
    const known = byLength.get(length) ?? permutation(length, seed);
    byLength.set(length, known);
    return known;
  };
  const permuted = (w: Tensor): Tensor => {
    const length = size(w.shape);
    return reshape(reorder(reshape(w, [1, length]), places(length)), w.shape);
  };
  return (adapters) => mapTree(permuted, adapters as Map<string, AdapterPair>);
}
