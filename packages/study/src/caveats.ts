import type { StudyFigures } from './analysis.ts';
import { searchFactor } from './levels.ts';
import type { LeftOut, Measured } from './measures.ts';
import type { StudyRecord } from './read-study.ts';
import { studentQuantile } from './statistics/student-t.ts';

/** What limits a study's conclusions, sentences. */
export function caveatsOf(
  record: StudyRecord,
  figures: StudyFigures,
  {
    measured,
    leftOut,
    notCompared,
  }: {
    readonly measured: readonly Measured[];
    readonly leftOut: readonly LeftOut[];
    readonly notCompared: readonly string[];
  },
): string[] {
  return [
    ...unmeasured(figures),
    ...ofSeeds(figures),
    ...unfinished(record),
    ...ofHalving(record),
    ...sameSeeds(record, measured),
    ...ofTrials(record),
    ...Object.entries(record.manifest.off).map(([name, reason]) => `The control ${name} is off: “${reason}”`),
    ...leftOut.map(
      ({ run, measure }) =>
        `${run} on ${measure} is left out: its loss is not a finite number. The mean of its arm is one of the others.`,
    ),
    ...notCompared.map((pair) => `Not compared: ${pair}.`),
    ...ofIntervals(figures),
  ];
}

function unmeasured({ measures }: StudyFigures): string[] {
  return measures.length > 0
    ? []
    : ['Nothing was measured: no run is done, or the study has neither held-out sets nor evaluations.'];
}

function ofSeeds({ contrasts }: StudyFigures): string[] {
  const counts = contrasts.map(({ bySeed }) => bySeed.length);
  const one = counts.includes(1)
    ? ['There are comparisons with one seed: they have no interval and no test.']
    : [];
  const seeds = Math.min(...counts.filter((count) => count > 1));
  const least = 2 / 2 ** seeds;
  if (least <= 0.05) return one;
  return [
    ...one,
    `${seeds} seeds: where seeds decide, an interval is ${studentQuantile(0.05, seeds - 1).toFixed(2)} standard ` +
      'errors to either side, not 1.96, and both it and the test take the differences of seeds to be normal, which ' +
      `${seeds} cannot show. A test without that has no p below ${least.toPrecision(2)}; from six seeds on it can ` +
      'have one below 0.05, before any correction.',
  ];
}

function unfinished({ runs }: StudyRecord): string[] {
  const states = ['failed', 'interrupted', 'begun', 'waiting'] as const;
  const counts = states.flatMap((state) => {
    const count = runs.filter((run) => run.state === state).length;
    return count > 0 ? [`${count} ${state}`] : [];
  });
  const done = runs.filter(({ state }) => state === 'done').length;
  return counts.length === 0
    ? []
    : [
        `${done} of ${runs.length} runs are done (${counts.join(', ')}): these figures are preliminary. To stop where ` +
          'they please would make every p too small.',
      ];
}

function ofHalving({ manifest: { halving }, runs }: StudyRecord): string[] {
  if (halving === null) return [];
  const dropped = runs.filter(({ state }) => state === 'dropped').length;
  return [
    `${dropped} of ${runs.length} runs were dropped by their loss on ${halving.by}: on that set what is left does ` +
      'better than it would on new data.',
  ];
}

/** Arms of which two seeds gave the same on every example. */
function sameSeeds({ arms, runs }: StudyRecord, measured: readonly Measured[]): string[] {
  const same = arms.filter(({ name }) => {
    const own = runs.filter((run) => run.arm === name);
    const texts = own
      .map((run) => measured.map((one) => one.runs.get(run.name)?.values ?? null))
      .filter((values) => values.some((one) => one !== null))
      .map((values) => JSON.stringify(values));
    return new Set(texts).size < texts.length;
  });
  if (same.length === 0) return [];
  const names = same.map(({ name }) => name).join(', ');
  return [
    `Seeds that gave the same on every example: ${names}. Where the seed decides nothing, more seeds are no ` +
      'more evidence.',
  ];
}

function ofTrials({ arms, manifest: { halving } }: StudyRecord): string[] {
  const trials = new Set(arms.flatMap(({ levels }) => levels[searchFactor] ?? [])).size;
  if (trials === 0) return [];
  const chosen =
    halving === null
      ? ''
      : ` ${halving.by} decided which went on, so that the losses on it of those are too low.`;
  return [
    `${trials} trials: the best of so many is best by luck too, on the data that it was chosen by. Run it again with ` +
      `other seeds, and measure it on other examples.${chosen}`,
  ];
}

function ofIntervals({ contrasts }: StudyFigures): string[] {
  if (contrasts.every(({ p }) => p === null)) return [];
  return [
    'An interval of an arm is over seeds, on these examples; that of a difference is for other seeds and other ' +
      'examples drawn like these. Each is of 95 % by itself; only p is corrected for the number of comparisons.',
  ];
}
