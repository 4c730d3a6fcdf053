import { ConfigError, nearestName } from '@flex/base';
import type { Estimate, StudyAnalysis } from './analysis.ts';
import type { Arm } from './arms.ts';
import type { Study } from './load-study.ts';
import { baseModel } from './read-study.ts';
import type { StudyClaim } from './study-schema.ts';

/** A claim and what a study measured that speaks to it. */
export interface MeasuredClaim extends StudyClaim {
  readonly unit: 'nats' | 'share' | null;
  /** Of its arm, over seeds; null where none is done. */
  readonly mean: Estimate | null;
  /** Of what it is compared with. */
  readonly other: number | null;
  /** The arm's less the other's. */
  readonly difference: Estimate | null;
}

/** Throws ConfigError for a claim on an arm that the study has not. */
export function requireClaims({ file, claims }: Pick<Study, 'file' | 'claims'>, arms: readonly Arm[]): void {
  const names = arms.map(({ name }) => name);
  const known = [...names, baseModel];
  for (const [i, { arm, against = baseModel }] of claims.entries()) {
    if (names.includes(arm) && known.includes(against)) continue;
    const unknown = names.includes(arm) ? against : arm;
    const near = nearestName(unknown, known);
    const hint = near ? `did you mean ${near}?` : `it has ${known.join(', ')}`;
    throw new ConfigError(`${file}: claims.${i} is on ${unknown}, which is no arm of the study; ${hint}`);
  }
}

/** Each claim of a study beside what it measured. */
export function measureClaims(claims: readonly StudyClaim[], analysis: StudyAnalysis): MeasuredClaim[] {
  return claims.map((claim) => {
    const { arm, against, measure } = claim;
    const meanOf = (name: string) =>
      analysis.arms.find((one) => one.arm === name && one.measure === measure)?.mean ?? null;
    const base = analysis.base.find((one) => one.measure === measure)?.value ?? null;
    return {
      ...claim,
      unit: analysis.measures.find(({ name }) => name === measure)?.unit ?? null,
      mean: meanOf(arm),
      other: against === undefined ? null : against === baseModel ? base : (meanOf(against)?.value ?? null),
      difference: against === undefined ? null : differenceOf(claim, against, analysis),
    };
  });
}

/** The arm's less the other's, whichever of them the analysis takes from which. */
function differenceOf(
  { arm, measure }: StudyClaim,
  against: string,
  analysis: StudyAnalysis,
): Estimate | null {
  const contrasts = analysis.contrasts.filter((one) => one.measure === measure);
  const between = (first: string, second: string) =>
    contrasts.find((one) => one.arm === first && (one.against ?? baseModel) === second)?.difference;
  const straight = between(arm, against);
  if (straight) return straight;
  const turned = between(against, arm);
  if (!turned) return null;
  const { value, ci95 } = turned;
  return { value: -value, ci95: ci95 && [-ci95[1], -ci95[0]] };
}
