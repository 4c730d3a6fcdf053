import {
  type ArmResult,
  type Contrast,
  type Family,
  type Question,
  questions,
  type StudyAnalysis,
  type StudyFigures,
} from './analysis.ts';
import { caveatsOf } from './caveats.ts';
import { type Comparison, comparisonsOf } from './comparisons.ts';
import { conclusionsOf } from './conclusions.ts';
import { corrected, type Difference, differenceOf, type SeedPair } from './contrast.ts';
import { type Measured, measuresOf } from './measures.ts';
import type { StudyRecord } from './read-study.ts';
import { meanOverSeeds } from './statistics/mean-over-seeds.ts';

/**
 * What a study says, of the runs that are done: arms with intervals over seeds, differences for other seeds
 * and other examples (`pairedDifference`), corrected by Holm within each question, and what follows. Throws
 * DataError for records that are malformed.
 */
export function analyse(record: StudyRecord): StudyAnalysis {
  const { measured, leftOut } = measuresOf(record);
  const measures = measured.map(({ measure }) => measure);
  const comparisons = comparisonsOf(record.manifest);
  const notCompared: string[] = [];
  const differences = comparisons.flatMap((comparison) =>
    measured.flatMap((one): (Comparison & Difference & { measure: string })[] => {
      const pairs = pairsOf(comparison, one, record);
      if (pairs.length === 0) return [];
      const { name: measure } = one.measure;
      const difference = differenceOf(pairs, one.measure);
      if (typeof difference === 'object') return [{ ...comparison, measure, ...difference }];
      const other = comparison.against ?? 'the base model';
      notCompared.push(`${comparison.arm} and ${other} on ${measure}: measured by different ${difference}`);
      return [];
    }),
  );
  const contrasts: Contrast[] = questions.flatMap((question) =>
    corrected(differences.filter((difference) => difference.question === question)),
  );
  const figures: StudyFigures = {
    measures,
    base: measured.flatMap(baseOf),
    arms: record.arms.flatMap(({ name }) => measured.flatMap((one) => armResult(name, one, record))),
    contrasts,
    families: questions.flatMap((question) => familyOf(question, contrasts)),
  };
  return {
    ...figures,
    conclusions: conclusionsOf(record, figures),
    caveats: caveatsOf(record, figures, { measured, leftOut, notCompared }),
  };
}

/** The runs of two arms, or of one and the model that it began with, by the seeds that both have. */
function pairsOf({ arm, against }: Comparison, { runs, before }: Measured, record: StudyRecord): SeedPair[] {
  return record.runs
    .filter((run) => run.arm === arm)
    .flatMap(({ name, seed }) => {
      const other = record.runs.find((run) => run.arm === against && run.seed === seed);
      const [one, two] = [runs.get(name), against === null ? before.get(name) : runs.get(other?.name ?? '')];
      return one && two ? [{ seed, arm: one, against: two }] : [];
    });
}

function armResult(arm: string, { measure, runs }: Measured, record: StudyRecord): ArmResult[] {
  const bySeed = record.runs
    .filter((run) => run.arm === arm)
    .flatMap(({ name, seed }) => {
      const scores = runs.get(name);
      return scores ? [{ seed, value: scores.value }] : [];
    });
  if (bySeed.length === 0) return [];
  const values = bySeed.map(({ value }) => value);
  const mean = meanOverSeeds(values, measure.unit === 'share' ? [0, 1] : undefined);
  return [{ arm, measure: measure.name, mean, bySeed }];
}

/** The model before any update; none where runs begin with different ones. */
function baseOf({ measure, before }: Measured): StudyAnalysis['base'] {
  const values = [...before.values()].map(({ value }) => value);
  const isOne = values.every((value) => Math.abs(value - values[0]) <= 1e-4 * Math.abs(values[0]));
  return values.length > 0 && isOne ? [{ measure: measure.name, value: values[0] }] : [];
}

const texts: Record<Question, string> = {
  controls: 'each arm with each of its controls',
  levels: "each level of a factor with the factor's first, all else alike",
  'base-model': 'each arm with the model before any update',
};

function familyOf(question: Question, contrasts: readonly Contrast[]): Family[] {
  const all = contrasts.filter((contrast) => contrast.question === question);
  if (all.length === 0) return [];
  const measures = new Set(all.map(({ measure }) => measure)).size;
  const on = measures === 1 ? 'on one measure' : `on ${measures} measures`;
  const tested = all.filter(({ p }) => p !== null).length;
  return [{ question, comparisons: all.length, tested, text: `${texts[question]}, ${on}` }];
}
