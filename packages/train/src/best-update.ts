import type { StepMetrics } from './run.ts';

/** The update with the lowest held-out loss. */
export interface BestUpdate {
  readonly step: number;
  /** Nats a token. */
  readonly loss: number;
}

/**
 * The first update of the lowest held-out loss among lines that have one: that of the set `by`, or where it
 * is null the mean of all sets'. Null where there is no such line.
 */
export function bestUpdate(lines: readonly StepMetrics[], by: string | null): BestUpdate | null {
  const all = evaluated(lines, by);
  return all.reduce<BestUpdate | null>((best, one) => (best && best.loss <= one.loss ? best : one), null);
}

/** Evaluations since the best update; all of them where there is none. */
export function evaluationsSinceBest(lines: readonly StepMetrics[], by: string | null): number {
  const best = bestUpdate(lines, by)?.step ?? 0;
  return evaluated(lines, by).filter(({ step }) => step > best).length;
}

function evaluated(lines: readonly StepMetrics[], by: string | null): BestUpdate[] {
  return lines.flatMap(({ step, eval: losses }) => {
    if (losses === undefined) return [];
    const values = by === null ? Object.values(losses) : [losses[by]];
    return { step, loss: values.reduce((sum, loss) => sum + loss, 0) / values.length };
  });
}
