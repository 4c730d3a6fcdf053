import { ConfigError } from '@flex/base';
import type { Contrast, Measure } from './analysis.ts';
import { corrected, type Difference, differenceOf } from './contrast.ts';
import { measuresOf } from './measures.ts';
import type { StudyRecord } from './read-study.ts';

/** An arm of one study against that of another by the same name, over the seeds that both have. */
export interface ArmComparison
  extends Pick<Contrast, 'arm' | 'measure' | 'difference' | 'bySeed' | 'p' | 'pHolm' | 'detectable'> {
  /** Whether the two are the same runs, by their keys: then they should not differ at all. */
  readonly isSame: boolean;
}

export interface StudyComparison {
  /** Folders, absolute. */
  readonly a: string;
  readonly b: string;
  /** Those that both have. */
  readonly measures: readonly Measure[];
  /** b's less a's; p corrected by Holm for all. */
  readonly arms: readonly ArmComparison[];
  /** Arms that one of them has alone. */
  readonly only_a: readonly string[];
  readonly only_b: readonly string[];
  /** Arms and measures that cannot be compared, and why. */
  readonly not_compared: readonly string[];
}

/**
 * Compares the arms that two studies have by the same name, on what both have measured, by
 * `pairedDifference`. Throws ConfigError where they have no arm or no measure in common.
 */
export function compareStudies(a: StudyRecord, b: StudyRecord): StudyComparison {
  const [namesA, namesB] = [a, b].map(({ arms }) => arms.map(({ name }) => name));
  const names = namesA.filter((name) => namesB.includes(name));
  const [measuredA, measuredB] = [a, b].map((record) => measuresOf(record).measured);
  const shared = measuredA.flatMap((one) => {
    const other = measuredB.find(({ measure }) => measure.name === one.measure.name);
    return other ? [{ measure: one.measure, runsA: one.runs, runsB: other.runs }] : [];
  });
  const what = names.length === 0 ? 'arm' : 'measure';
  if (names.length === 0 || shared.length === 0) {
    throw new ConfigError(`compare: the studies in ${a.folder} and ${b.folder} have no ${what} in common`);
  }
  const not_compared: string[] = [];
  const differences = names.flatMap((arm) =>
    shared.flatMap(
      ({ measure, runsA, runsB }): (Difference & Pick<ArmComparison, 'arm' | 'measure' | 'isSame'>)[] => {
        const both = a.runs.flatMap((run) => {
          const other = b.runs.find(({ name }) => name === run.name);
          const [against, own] = [runsA.get(run.name), runsB.get(run.name)];
          return run.arm === arm && other && own && against
            ? [{ seed: run.seed, arm: own, against, isSame: run.key === other.key }]
            : [];
        });
        if (both.length === 0) return [];
        const difference = differenceOf(both, measure);
        if (typeof difference === 'object') {
          return [{ arm, measure: measure.name, isSame: both.every(({ isSame }) => isSame), ...difference }];
        }
        not_compared.push(`${arm} on ${measure.name}: measured by different ${difference}`);
        return [];
      },
    ),
  );
  return {
    a: a.folder,
    b: b.folder,
    measures: shared.map(({ measure }) => measure),
    arms: corrected(differences),
    only_a: namesA.filter((name) => !namesB.includes(name)),
    only_b: namesB.filter((name) => !namesA.includes(name)),
    not_compared,
  };
}
