import type { WeightedRegularizer } from './update.ts';

/** The names, with a number behind each that stands before already: `l2`, `l2-2`. */
export function distinctLabels(names: readonly string[]): string[] {
  const labels: string[] = [];
  for (const name of names) {
    let label = name;
    for (let n = 2; labels.includes(label); n++) label = `${name}-${n}`;
    labels.push(label);
  }
  return labels;
}

/** What an update tells of a regularizer, as numbers. */
export interface PenaltyNumbers {
  /** L. */
  readonly value: number;
  /** ‖∇L‖. */
  readonly gradNorm?: number;
  /** ⟨∇L, g⟩. */
  readonly alongGradient?: number;
}

/** The columns of every regularizer, without their labels. */
export const penaltyKeys = [
  'penalty',
  'weighted_penalty',
  'penalty_grad_norm',
  'penalty_grad_share',
] as const;

/**
 * A regularizer's own columns of an update, of its L and λ: `penalty` L, `weighted_penalty` λL,
 * `penalty_grad_norm` ‖∇(λL)‖, and where it joins the loss `penalty_grad_share` ⟨∇(λL), g⟩/‖g‖², g the whole
 * gradient before clipping: the shares of all regularizers and of the task, ⟨∇loss, g⟩/‖g‖², add up to 1, and
 * one that pulls against the others has a negative share. Where g is 0 no share is told.
 */
export function penaltyColumns(
  { lambda, enters }: Pick<WeightedRegularizer, 'lambda' | 'enters'>,
  { value, gradNorm = 0, alongGradient = 0 }: PenaltyNumbers,
  wholeNorm: number,
): Partial<Record<(typeof penaltyKeys)[number], number>> {
  return {
    penalty: value,
    weighted_penalty: lambda * value,
    penalty_grad_norm: lambda * gradNorm,
    ...(enters === 'loss' &&
      wholeNorm > 0 && { penalty_grad_share: (lambda * alongGradient) / wholeNorm ** 2 }),
  };
}

/** The columns that regularizers give, a record each, with their labels behind a dot: `penalty.l2`. */
export function labelled(
  regularizers: readonly { readonly label: string }[],
  records: readonly Readonly<Record<string, number>>[],
): Record<string, number> {
  return Object.fromEntries(
    records.flatMap((record, i) =>
      Object.entries(record).map(([key, value]) => [`${key}.${regularizers[i].label}`, value]),
    ),
  );
}
