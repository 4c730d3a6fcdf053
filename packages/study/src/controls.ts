import type { Section } from '@flex/train';
import type { ControlName } from './study-schema.ts';

/** The kind of an arm that is the control of another. */
export type ArmControl = Exclude<ControlName, 'base-model'>;

/** A regularizer's section as files have it. */
export type Penalty = Section & { readonly lambda: number };

/** What weighs the bins of a Fourier transform, which others could have in its place. */
const weighsFrequencies = ['fourier', 'swapped-frequencies'];
/** What the Fourier penalty's own matching is for: their options are its own and some more. */
const ofFourier = [...weighsFrequencies, 'permuted-frequencies'];
/** What shrinks all weights alike, wherever they stand. */
const isL2 = ({ name, control }: Penalty) =>
  control === 'matched-l2' || (control === undefined && ['l2', 'matched-l2'].includes(String(name)));
/** What is itself a control in which places or frequencies mean nothing. */
const isPlacebo = ({ name, control }: Penalty) =>
  control === 'permuted-order' || name === 'permuted-frequencies' || isL2({ name, control, lambda: 0 });
/** Signals that are zero at the start of a run, where no factor could be fixed. */
const startsAtZero = ['change', 'product', 'b'];

/**
 * The penalties of the controls of an arm with these penalties, some of which pull, by their kinds; null:
 * none.
 *
 * - `unpenalized`: none.
 * - `matched-l2`: in place of each that is no L2 itself one as strong. Of the Fourier penalty's family it is
 *   matched as that one's own (of swapped or permuted frequencies to a share of 1/N), else by the norm of
 *   the gradient (`standIn`).
 * - `permuted-frequencies`: each with its weights on other bins, where all that are no L2 weigh frequencies.
 * - `permuted-order`: else, each on a permuted order of every matrix.
 *
 * What is λ = 0 pulls on nothing and stays as it is. The run's seed decides the permutations.
 */
export function controlsOf(
  penalties: readonly Penalty[],
): readonly { readonly kind: ArmControl; penaltiesFor(seed: number): readonly Penalty[] | null }[] {
  const meaningful = penalties.filter((penalty) => penalty.lambda > 0 && !isPlacebo(penalty));
  const areFrequencies = meaningful.every(
    ({ name, control }) => control === undefined && weighsFrequencies.includes(String(name)),
  );
  const shaped = penalties.filter((penalty) => penalty.lambda > 0 && !isL2(penalty));
  const replaced =
    (chosen: readonly Penalty[], change: (penalty: Penalty, seed: number) => Penalty) => (seed: number) =>
      penalties.map((penalty) => (chosen.includes(penalty) ? change(penalty, seed) : penalty));
  return [
    { kind: 'unpenalized', penaltiesFor: () => null },
    ...(shaped.length > 0
      ? [{ kind: 'matched-l2' as const, penaltiesFor: replaced(shaped, matchedL2) }]
      : []),
    ...(meaningful.length === 0
      ? []
      : areFrequencies
        ? [{ kind: 'permuted-frequencies' as const, penaltiesFor: replaced(meaningful, permutedFrequencies) }]
        : [{ kind: 'permuted-order' as const, penaltiesFor: replaced(meaningful, permutedOrder) }]),
  ];
}

function matchedL2(penalty: Penalty): Penalty {
  const { frequency_seed: _, ...rest } = penalty;
  if (penalty.control !== undefined || !ofFourier.includes(String(penalty.name)))
    return { ...penalty, control: 'matched-l2' };
  const isKept = startsAtZero.includes(String(penalty.scope));
  return { ...rest, name: 'matched-l2', ...(isKept && { factor: 'kept' }) } as Penalty;
}

function permutedFrequencies(penalty: Penalty, seed: number): Penalty {
  return { ...penalty, name: 'permuted-frequencies', frequency_seed: seed };
}

function permutedOrder(penalty: Penalty): Penalty {
  return { ...penalty, control: 'permuted-order' };
}
