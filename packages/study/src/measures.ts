import { passAtK, passDraws, type ResultFolder, sampleCounts } from '@flex/eval';
import type { HeldOutLine } from '@flex/train';
import type { Measure } from './analysis.ts';
import type { RunRecord, StudyRecord } from './read-study.ts';

/** A run on a measure: a value an example, whose mean is the run's. */
export interface Scores {
  readonly value: number;
  /** What the examples go by, in an order that is the same for all runs. */
  readonly ids: readonly string[];
  readonly values: readonly number[];
  /** By which it was measured, of losses the tokens of each example; two that differ are not compared. */
  readonly protocol: string;
}

/** A measure, and each run on it that has come to it. */
export interface Measured {
  readonly measure: Measure;
  /** By the runs' names. */
  readonly runs: ReadonlyMap<string, Scores>;
  /** The model that each run began with, by the runs' names. */
  readonly before: ReadonlyMap<string, Scores>;
}

/** A run that is not on a measure though it was made, and why. */
export interface LeftOut {
  readonly run: string;
  readonly measure: string;
}

/**
 * What a study's runs were measured by: held-out losses of those that are done, after the last update, and
 * pass@k of the evaluations that there are. `leftOut` are losses that are not finite.
 */
export function measuresOf({ runs, base, manifest }: StudyRecord): {
  measured: Measured[];
  leftOut: LeftOut[];
} {
  const found = new Map<
    string,
    { measure: Measure; runs: Map<string, Scores>; before: Map<string, Scores> }
  >();
  const leftOut: LeftOut[] = [];
  const at = (measure: Measure) => {
    const known = found.get(measure.name) ?? { measure, runs: new Map(), before: new Map() };
    found.set(measure.name, known);
    return known;
  };
  for (const run of runs) {
    for (const { first, last } of heldOutOf(run)) {
      const scores = heldOutScores(last);
      if (scores === null) leftOut.push({ run: run.name, measure: last.set });
      const place = at(heldOutMeasure(last));
      if (scores) place.runs.set(run.name, scores);
      const before = first.step === 0 ? heldOutScores(first) : null;
      if (before) place.before.set(run.name, before);
    }
  }
  for (const { name } of manifest.evaluations) {
    const ofBase = base.results(name);
    for (const run of runs) {
      const results = run.results(name);
      if (!results) continue;
      for (const k of passDraws(results.results)) {
        const scores = passScores(results, k);
        const place = at(passMeasure(`${name} pass@${k}`, scores));
        place.runs.set(run.name, scores);
        if (ofBase) place.before.set(run.name, passScores(ofBase, k));
      }
    }
  }
  return { measured: [...found.values()], leftOut };
}

/** The first and the last evaluation of each held-out set; none of a run that is not done. */
export function heldOutOf({ summary, heldOut }: Pick<RunRecord, 'summary' | 'heldOut'>): {
  first: HeldOutLine;
  last: HeldOutLine;
}[] {
  if (summary?.status !== 'done') return [];
  const sets = new Map<string, { first: HeldOutLine; last: HeldOutLine }>();
  for (const line of heldOut()) {
    sets.set(line.set, { first: sets.get(line.set)?.first ?? line, last: line });
  }
  return [...sets.values()];
}

/**
 * The loss of each example as a part of that of the set, R = Σl/Σt: R + N·(lᵢ − R·tᵢ)/Σt, with tᵢ scored
 * tokens of a summed loss lᵢ. Their mean is R, and their spread that of R over sets like this one. Null where
 * a loss is not finite.
 */
export function heldOutScores({ rows, losses, tokens }: HeldOutLine): Scores | null {
  const total = sum(tokens);
  const loss = sum(losses) / total;
  // A record has null for what is not finite.
  if (!losses.every((one) => Number.isFinite(one)) || !Number.isFinite(loss)) return null;
  const values = losses.map((one, i) => loss + (losses.length * (one - loss * tokens[i])) / total);
  return { value: loss, ids: rows, values, protocol: tokens.join(' ') };
}

/** pass@k of each problem, in the order of their ids. */
function passScores({ problems, results }: ResultFolder, k: number): Scores {
  const { samples_per_problem: n, incomplete, protocol } = results;
  const counts = sampleCounts(problems, { n, incomplete, least: Math.max(...passDraws(results)) });
  const scored = problems.flatMap(({ id }, i) => {
    const count = counts[i];
    return count ? [{ id, value: passAtK(count.n, count.c, k) }] : [];
  });
  scored.sort((a, b) => (a.id < b.id ? -1 : 1));
  const values = scored.map(({ value }) => value);
  return { value: sum(values) / values.length, ids: scored.map(({ id }) => id), values, protocol };
}

function heldOutMeasure({ set, rows }: HeldOutLine): Measure {
  return { name: set, kind: 'held-out-loss', unit: 'nats', lowerIsBetter: true, n: rows.length };
}

function passMeasure(name: string, { ids }: Scores): Measure {
  return { name, kind: 'pass', unit: 'share', lowerIsBetter: false, n: ids.length };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
