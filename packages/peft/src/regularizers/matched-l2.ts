import { grad } from '@flex/autograd';
import { ConfigError, definePart, readOptions } from '@flex/base';
import {
  add,
  addScaled,
  div,
  eachTensor,
  greater,
  mul,
  rowSum,
  scope,
  sqrt,
  square,
  sum,
  type Tensor,
  where,
} from '@flex/tensor';
import { withoutRecorders } from '@flex/tensor/kernel';
import { z } from 'zod';
import type { Adapters } from '../adapters.ts';
import type { Regularizer, RegularizerContext } from '../regularizer.ts';
import { type FourierOptions, fourier, fourierSchema } from './fourier.ts';
import { frequencyWeights } from './frequency-weights.ts';
import { energyOf, l2 } from './l2.ts';
import { type SignalGroup, signalGroups } from './signals.ts';

const schema = fourierSchema.safeExtend({
  /** What is that of the Fourier penalty: its mean over all orders of a signal, itself, or its gradient. */
  match: z.enum(['expected-penalty', 'penalty', 'gradient']).default('expected-penalty'),
  /** `fixed`: the same at the start of the run. `kept`: at every update, by another factor each time. */
  factor: z.enum(['fixed', 'kept']).default('fixed'),
});

export type MatchedL2Options = z.output<typeof schema>;

/**
 * L = c·Σ x² over the signals x that the Fourier penalty of the same options is made of: the control that
 * shrinks all frequencies alike, as strongly as that penalty does. c is such that
 *
 * - `expected-penalty`: c·Σ x² = E[L_F], the mean over all orders in which each signal's elements can stand;
 * - `penalty`: c·Σ x² = L_F, so that both pull as strongly towards zero, ⟨∇L, w⟩ = ⟨∇L_F, w⟩, where L_F is
 *   quadratic in w;
 * - `gradient`: ‖∇(c·Σ x²)‖ = ‖∇L_F‖, over all A and B.
 *
 * A `fixed` c is that of `start`. A `kept` one is computed anew each time, on the device, and has no gradient.
 * Throws ConfigError for wrong options, and for a fixed c where the start is missing or has zeros alone.
 */
export async function matchedL2(
  given: Partial<MatchedL2Options> = {},
  start?: Adapters,
): Promise<Regularizer> {
  const { match, factor, ...options } = readOptions(schema, given, 'matched-l2');
  const target = fourier(options, start);
  const signalsOf = (adapters: Adapters) => signalGroups(adapters, unshuffled(options), start);
  const penalty = (adapters: Adapters) => target.penalty(adapters, 1);
  const energy = (adapters: Adapters) => energyOf(signalsOf(adapters));
  const strengths: Record<typeof match, (adapters: Adapters) => readonly [wanted: Tensor, had: Tensor]> = {
    'expected-penalty': (at) => [expectedPenalty(signalsOf(at), options), energy(at)],
    penalty: (at) => [penalty(at), energy(at)],
    gradient: (at) => [norm(grad(penalty, at)), norm(grad(energy, at))],
  };
  if (factor === 'kept') {
    const factorAt = (adapters: Adapters) => scope(() => ratio(...strengths[match](adapters)));
    return {
      penalty: (adapters) =>
        scope(() =>
          mul(
            energy(adapters),
            withoutRecorders(() => factorAt(adapters)),
          ),
        ),
    };
  }
  if (!start) throw new ConfigError('factor fixed needs the start of the adapter');
  const atStart = scope(() => strengths[match](start));
  const [wanted, had] = await Promise.all(atStart.map((number) => number.item()));
  eachTensor(atStart, (number) => number.dispose());
  if (had === 0) {
    throw new ConfigError(
      `with scope ${options.scope} all signals are zero at the start, where c is fixed; take factor kept`,
    );
  }
  return { penalty: (adapters) => scope(() => mul(energy(adapters), wanted / had)) };
}

/** The mean of the Fourier penalty over all orders of each signal's elements, every one as likely: f32 []. */
function expectedPenalty(groups: readonly SignalGroup[], options: FourierOptions): Tensor {
  return groups
    .map((group) => {
      const length = group.signals.shape[1];
      const scale = options.norm === 'ortho' ? 1 / length : 1;
      const [zero, ...others] = frequencyWeights(length, options);
      // E|x̂_k|² = s²·(N·Σx² − (Σx)²)/(N − 1) for every k but 0, where it is s²·(Σx)² whatever the order.
      const each = others.reduce((total, weight) => total + weight, 0) / Math.max(1, length - 1);
      const atZero = mul(sum(square(rowSum(group.signals))), scale * (zero - each));
      return addScaled(atZero, energyOf([group]), scale * each * length);
    })
    .reduce(add);
}

/** √Σ w² over all A and B: f32 []. */
const norm = (adapters: Adapters): Tensor => sqrt(l2().penalty(adapters, 1));

/** wanted/had, and `wanted` where there is nothing to scale. f32 [], [] → f32 []. */
export const ratio = (wanted: Tensor, had: Tensor): Tensor => div(wanted, where(greater(had, 0), had, 1));

/** The options without the shuffle that no sum of squares notices. */
const unshuffled = (options: FourierOptions): FourierOptions =>
  options.order === 'permuted' ? { ...options, order: 'row' } : options;

/** The regularizer `matched-l2` of a run. */
export const matchedL2Part = definePart({
  name: 'matched-l2',
  schema,
  async make(options, { start }: RegularizerContext) {
    const before = start();
    const regularizer = await matchedL2(options, before);
    if (options.scope !== 'change') eachTensor(before, (t) => t.dispose());
    return regularizer;
  },
});
