import type { Contrast, Question } from './analysis.ts';
import { searchFactor } from './levels.ts';
import type { ArmRecord, StudyManifest } from './manifest.ts';

/** Two arms that a study compares, on every measure. */
export interface Comparison extends Pick<Contrast, 'question' | 'arm' | 'against' | 'control'> {}

/**
 * What a study compares: each arm with each of its controls; combinations of levels that differ in one factor
 * alone with that of the factor's first level, where the one is no control of the other; and combinations of
 * levels with the model before any update, unless that control is off. Trials of a search are not compared
 * with one another: the best of many is best by luck too.
 */
export function comparisonsOf({ arms, off }: Pick<StudyManifest, 'arms' | 'off'>): Comparison[] {
  const levels = arms.filter(({ isLevel }) => isLevel);
  const controls = levels.flatMap(({ name }) =>
    arms.flatMap((other) =>
      other.controls
        .filter(({ of }) => of === name)
        .map(({ kind }) => comparison('controls', name, other.name, kind)),
    ),
  );
  const isControl = (a: ArmRecord, b: ArmRecord) =>
    controls.some(({ arm, against }) => arm === a.name && against === b.name);
  const pairs = levels.flatMap((arm) =>
    Object.keys(arm.levels).flatMap((factor) => {
      if (factor === searchFactor) return [];
      const first = levels.find((other) => factor in other.levels && differInOne(other, arm, factor));
      const isFirst = !first || levels.indexOf(first) > levels.indexOf(arm);
      return isFirst || isControl(arm, first) || isControl(first, arm)
        ? []
        : [comparison('levels', arm.name, first.name, null)];
    }),
  );
  const withBase =
    off['base-model'] === undefined
      ? levels.map(({ name }) => comparison('base-model', name, null, 'base-model'))
      : [];
  return [...controls, ...pairs, ...withBase];
}

function comparison(
  question: Question,
  arm: string,
  against: string | null,
  control: Contrast['control'],
): Comparison {
  return { question, arm, against, control };
}

function differInOne(a: ArmRecord, b: ArmRecord, factor: string): boolean {
  const keys = new Set([...Object.keys(a.levels), ...Object.keys(b.levels)]);
  return [...keys].every((key) => (a.levels[key] === b.levels[key]) === (key !== factor));
}
