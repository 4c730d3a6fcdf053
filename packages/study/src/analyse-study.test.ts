import { type ResultFolder, type SampleRow, score } from '@flex/eval';
import { randomOf } from '@flex/eval/testing';
import { isLong } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import { analyse } from './analyse-study.ts';
import type { Contrast } from './analysis.ts';
import type { ArmRecord } from './manifest.ts';
import type { StudyRecord } from './read-study.ts';
import { detectableDifference } from './statistics/detectable-difference.ts';
import { type RunLosses, type Simulation, simulatedStudy, studyOf } from './testing/simulated-study.ts';

const runs = isLong ? 1500 : 120;
const noise = (share: number) => 3 * Math.sqrt((share * (1 - share)) / runs);
const spread = { seed: 0.05, example: 0.2, rest: 0.1 };
const null4: Simulation = { seeds: 3, examples: 60, effects: [0, 0, 0, 0], spread };

/** The contrasts with controls of many studies of one truth. */
function studies(simulation: Simulation, seed: number): Contrast[][] {
  const random = randomOf(seed);
  return Array.from({ length: runs }, () => {
    const off = { 'base-model': 'not asked here' };
    return analyse(change(simulatedStudy(simulation, random), { off })).contrasts.slice();
  });
}

const isFound = ({ pHolm }: Contrast) => pHolm! <= 0.05;

describe('simulated studies with a known effect', () => {
  test('intervals of all comparisons hold the truth at 95 ± 2 %', () => {
    const effects = [0.1, 0, 0.05, 0.3];
    const held = studies({ ...null4, effects }, 1).flatMap((contrasts) =>
      contrasts.map(({ difference: { ci95 } }, i) => {
        const truth = effects[0] - effects[i + 1];
        return ci95![0] <= truth && truth <= ci95![1];
      }),
    );
    const coverage = held.filter(Boolean).length / held.length;
    expect(Math.abs(coverage - 0.95)).toBeLessThan(0.02 + noise(0.95));
  });
  test.each([
    { decides: 'seeds', its: { seed: 0.3, example: 0.02, rest: 0.02 } },
    { decides: 'examples', its: { seed: 0.002, example: 0.4, rest: 0.02 } },
    { decides: 'all', its: spread },
  ])('without an effect one study in twenty at most finds one after correction: $decides', ({ its }) => {
    const found = studies({ ...null4, spread: its }, 2).filter((contrasts) => contrasts.some(isFound));
    expect(found.length / runs).toBeLessThan(0.05 + noise(0.05));
  });
  test('beside an effect that is found, true nulls are found in at most 5 % of studies', () => {
    const all = studies({ ...null4, effects: [0, 5, 0, 0] }, 3);
    expect(all.every(([first]) => isFound(first) && first.difference.value < 0)).toBe(true);
    const wrong = all.filter(([, ...nulls]) => nulls.some(isFound));
    expect(wrong.length / runs).toBeLessThan(0.05 + noise(0.05));
  });
  test('an effect of the size announced for the true spread is found in 80 ± 3 %', () => {
    for (const seeds of [3, 6]) {
      // Both arms vary alike; the rest is part of what seeds are taken for.
      const parts = {
        seeds: { variance: (2 * (spread.seed ** 2 + spread.rest ** 2 / 60)) / seeds, df: seeds - 1 },
        examples: { variance: (2 * spread.example ** 2) / 60, df: 59 },
      };
      const effect = detectableDifference(parts, 0.05 / 3)!;
      const all = studies({ ...null4, seeds, effects: [0, effect, 0, 0] }, 4);
      const found = all.filter(([first]) => isFound(first) && first.difference.value < 0).length / runs;
      expect(Math.abs(found - 0.8)).toBeLessThan(0.03 + noise(0.8));
    }
  });
});

const levels = { optimizer: 'adamw' };
const arm = (name: string, rest: Partial<ArmRecord> = {}): ArmRecord => ({
  name,
  aliases: [],
  isLevel: true,
  controls: [],
  levels,
  keys: {},
  ...rest,
});
const control = (name: string, kind: ArmRecord['controls'][number]['kind'], of = 'penalty') =>
  arm(name, { isLevel: false, controls: [{ kind, of }] });
const before = [3, 3.2, 2.9, 3.4, 3.1, 3.3];

/** A run that lies `by` under the model before, give or take a little by seed and example. */
function run(name: string, seed: number, by: number): RunLosses {
  const { normal } = randomOf(100 * name.length + seed);
  return { arm: name, seed, losses: before.map((one) => one - by + 0.01 * normal()) };
}
const runsOf = (name: string, by: number, seeds = [0, 1, 2]) => seeds.map((seed) => run(name, seed, by));

function change(record: StudyRecord, manifest: Partial<StudyRecord['manifest']>): StudyRecord {
  return { ...record, manifest: { ...record.manifest, ...manifest } };
}

describe('the analysis of a study', () => {
  const arms = [arm('penalty'), control('free', 'unpenalized'), control('l2', 'matched-l2')];
  const study = studyOf(arms, [...runsOf('penalty', 1), ...runsOf('free', 0.5), ...runsOf('l2', 1)], before);

  test('has each arm over its seeds, and the model before', () => {
    const { measures, arms: results, base } = analyse(study);
    expect(measures).toEqual([
      { name: 'tasks', kind: 'held-out-loss', unit: 'nats', lowerIsBetter: true, n: 6 },
    ]);
    expect(results.map(({ arm }) => arm)).toEqual(['penalty', 'free', 'l2']);
    const mean = results[0].bySeed.reduce((sum, { value }) => sum + value, 0) / 3;
    expect(results[0].mean.value).toBeCloseTo(mean, 12);
    expect(results[0].mean.ci95![0]).toBeLessThan(mean);
    expect(base).toEqual([{ measure: 'tasks', value: expect.closeTo(3.15, 12) }]);
  });
  test('compares an arm with its controls and with the model before, each family corrected by itself', () => {
    const { contrasts, families } = analyse(study);
    expect(families.map(({ question, comparisons }) => [question, comparisons])).toEqual([
      ['controls', 2],
      ['base-model', 1],
    ]);
    const [free, l2, base] = contrasts;
    expect(free).toMatchObject({ arm: 'penalty', against: 'free', control: 'unpenalized' });
    expect(free.difference.value).toBeCloseTo(-0.5, 2);
    expect(free.pHolm).toBeCloseTo(2 * free.p!, 12);
    expect(l2.pHolm).toBe(l2.p);
    expect(base).toMatchObject({ against: null, control: 'base-model' });
    expect(base.pHolm).toBe(base.p);
    expect(free.detectable).toBeGreaterThan(0);
  });
  test('says what follows, and what does not', () => {
    const { conclusions, caveats } = analyse(study);
    expect(conclusions.overall[0]).toBe(
      'Of 2 comparisons, each arm with each of its controls, on one measure, 1 shows a difference at 0.05 ' +
        "after Holm's correction for all 2.",
    );
    const about = conclusions.armByArm.find((line) => line.startsWith('penalty on tasks'))!;
    expect(about).toMatch(/against no penalty; .* against an L2 penalty as strong\./);
    expect(about).toContain(
      'So the penalty helps here; whether it does other than shrink weights is open. Of what is open, a true difference of 0.0',
    );
    expect(caveats[0]).toMatch(/^3 seeds: .* 4\.30 standard errors .* no p below 0\.25;/);
  });
  test('turns its words where the arm is worse', () => {
    const worse = studyOf(
      arms,
      [...runsOf('penalty', 0.5), ...runsOf('free', 1), ...runsOf('l2', 1)],
      before,
    );
    const text = analyse(worse).conclusions.armByArm.join('\n');
    expect(text).toContain('So the penalty does harm here; shrinking all weights as strongly does better.');
  });
  test('with one seed has neither intervals nor tests, and says so', () => {
    const one = studyOf(arms, [run('penalty', 0, 1), run('free', 0, 0.5), run('l2', 0, 1)], before);
    const { contrasts, conclusions, caveats, arms: results } = analyse(one);
    for (const { p, pHolm, detectable, difference } of contrasts) {
      expect([p, pHolm, detectable, difference.ci95]).toEqual([null, null, null, null]);
    }
    expect(results[0].mean.ci95).toBeNull();
    expect(conclusions.overall).toEqual([
      'No comparison has two seeds: that another seed would give the same does not follow.',
    ]);
    expect(caveats).toContain('There are comparisons with one seed: they have no interval and no test.');
  });
  test('takes the seeds that both have, and tells of runs that are missing', () => {
    const missing = studyOf(
      arms,
      [
        ...runsOf('penalty', 1),
        ...runsOf('free', 0.5, [1, 2]),
        { ...run('free', 0, 0.5), state: 'failed' },
        ...runsOf('l2', 1).map((one) => ({ ...one, state: 'waiting' as const })),
      ],
      before,
    );
    const { contrasts, conclusions, families, caveats, arms: results } = analyse(missing);
    expect(conclusions.overall[0]).toBe(
      'Preliminary: 4 of 9 runs are not done, so none of this is a conclusion yet.',
    );
    expect(families.map(({ comparisons, tested }) => [comparisons, tested])).toEqual([
      [1, 1],
      [1, 1],
    ]);
    expect(contrasts[0].bySeed.map(({ seed }) => seed)).toEqual([1, 2]);
    expect(results.map(({ arm }) => arm)).toEqual(['penalty', 'free']);
    expect(caveats.join('\n')).toContain(
      '5 of 9 runs are done (1 failed, 3 waiting): these figures are preliminary.',
    );
  });
  test('of a study without a run that is done says that there is nothing', () => {
    const none = studyOf(
      arms,
      runsOf('penalty', 1).map((one) => ({ ...one, state: 'begun' as const })),
      before,
    );
    const { measures, contrasts, conclusions, caveats } = analyse(none);
    expect([measures, contrasts]).toEqual([[], []]);
    expect(conclusions.overall).toEqual(['Nothing was compared, so nothing follows.']);
    expect(caveats[0]).toMatch(/^Nothing was measured/);
  });
  test('quotes why a control is off, and does not compare with it', () => {
    const off = { 'base-model': 'it is the same in all studies here' };
    const { contrasts, caveats } = analyse(change(study, { off }));
    expect(contrasts.every(({ question }) => question === 'controls')).toBe(true);
    expect(caveats).toContain('The control base-model is off: “it is the same in all studies here”');
  });
  test('leaves out a loss that is not finite, with a word', () => {
    const lost = { ...run('free', 0, 1), losses: before.map((one, i) => (i === 2 ? Number.NaN : one)) };
    const { contrasts, caveats } = analyse(
      studyOf(arms, [...runsOf('penalty', 1), lost, ...runsOf('free', 0.5, [1, 2])], before),
    );
    expect(contrasts[0].bySeed.map(({ seed }) => seed)).toEqual([1, 2]);
    expect(caveats.join('\n')).toContain(
      'free/seed-0 on tasks is left out: its loss is not a finite number.',
    );
  });
  test('does not compare runs that have seen other examples, and says which', () => {
    const fewer = runsOf('free', 0.5).map((one) => ({ ...one, losses: one.losses.slice(1) }));
    const { contrasts, caveats } = analyse(studyOf(arms, [...runsOf('penalty', 1), ...fewer], before));
    expect(contrasts.every(({ question }) => question === 'base-model')).toBe(true);
    expect(caveats).toContain('Not compared: penalty and free on tasks: measured by different examples.');
  });
  test('does not compare losses of different tokens, as two tokenizers give', () => {
    const record = studyOf(arms, [...runsOf('penalty', 1), ...runsOf('free', 0.5)], before);
    const runs = record.runs.map((one) => ({
      ...one,
      heldOut: () =>
        one
          .heldOut()
          .map((line) => ({ ...line, tokens: line.tokens.map(() => (one.arm === 'free' ? 2 : 1)) })),
    }));
    const { contrasts, caveats } = analyse({ ...record, runs });
    expect(contrasts.every(({ question }) => question === 'base-model')).toBe(true);
    expect(caveats).toContain('Not compared: penalty and free on tasks: measured by different tokens.');
  });
  test('names arms of which seeds gave the same', () => {
    const same = [0, 1, 2].map((seed) => ({ ...run('penalty', 0, 1), seed }));
    const { caveats } = analyse(studyOf(arms, [...same, ...runsOf('free', 0.5)], before));
    expect(caveats.join('\n')).toContain('Seeds that gave the same on every example: penalty.');
  });
  test('compares levels with the first of their factor, but no trials of a search', () => {
    const grid = ['adamw', 'lion', 'sgd'].flatMap((optimizer) =>
      ['r-4', 'r-8'].map((rank) => arm(`${optimizer}+${rank}`, { levels: { optimizer, rank } })),
    );
    const record = studyOf(
      grid,
      grid.flatMap(({ name }, i) => runsOf(name, i / 10)),
      before,
    );
    const pairs = analyse(record).contrasts.flatMap(({ question, arm, against }) =>
      question === 'levels' ? `${arm} - ${against}` : [],
    );
    expect(pairs).toEqual([
      'adamw+r-8 - adamw+r-4',
      'lion+r-4 - adamw+r-4',
      'lion+r-8 - adamw+r-8',
      'lion+r-8 - lion+r-4',
      'sgd+r-4 - adamw+r-4',
      'sgd+r-8 - adamw+r-8',
      'sgd+r-8 - sgd+r-4',
    ]);
    const trials = ['trial-1', 'trial-2'].map((trial) => arm(trial, { levels: { search: trial } }));
    const halving = { by: 'tasks', rungs: [5], keep: 0.5 };
    const searched = analyse(
      change(
        studyOf(
          trials,
          trials.flatMap(({ name }) => runsOf(name, 1)),
          before,
        ),
        { halving },
      ),
    );
    expect(searched.contrasts.every(({ question }) => question === 'base-model')).toBe(true);
    expect(searched.caveats.join('\n')).toMatch(/2 trials: the best .* tasks decided which went on/);
  });
  test('gives the same in whatever order the arms of a family come', () => {
    const turned = analyse(change(study, { arms: [...arms].reverse() }));
    const text = (contrasts: readonly Contrast[]) => contrasts.map((one) => JSON.stringify(one)).sort();
    expect(text(turned.contrasts)).toEqual(text(analyse(study).contrasts));
  });
});

describe('the analysis of evaluations', () => {
  /** Results by marks, a problem each: passes of its samples such as `++-`. */
  const resultsOf = (marks: readonly string[], protocol = 'one'): ResultFolder => {
    const problems = marks.map((word, i) => ({
      id: `P/${(7 * i) % marks.length}`,
      language: 'py' as const,
      samples: [...word].map(
        (mark) =>
          ({
            verdict: mark === '+' ? 'passed' : 'failed',
            failure: mark === '+' ? null : 'assertion',
          }) as SampleRow,
      ),
    }));
    const results = score(problems, { n: null, k: [2], incomplete: 'fail' });
    return { folder: '/results', results: { ...results, protocol } as ResultFolder['results'], problems };
  };
  const marksOf = (passes: (problem: number) => boolean) =>
    Array.from({ length: 40 }, (_, i) => (passes(i) ? '++' : '--'));
  const evaluated = (of: (arm: string, seed: number) => ResultFolder) => {
    const arms = [arm('penalty'), control('free', 'unpenalized')];
    const record = studyOf(arms, [...runsOf('penalty', 1), ...runsOf('free', 1)], before);
    const evaluations = [{ name: 'tests', benchmark: 'humaneval', merged: false }];
    const base = { ...record.base, results: () => resultsOf(marksOf((i) => i < 10)) };
    const runs = record.runs.map((one) => ({
      ...one,
      heldOut: () => [],
      results: (name: string) => (name === 'tests' ? of(one.arm, one.seed) : null),
    }));
    return { ...change(record, { evaluations }), runs, base };
  };

  test('has pass@k at every k, more as better, each within 0 and 1, against the base model too', () => {
    const record = evaluated((arm, seed) =>
      resultsOf(marksOf((i) => i < (arm === 'penalty' ? 30 : 12) + seed)),
    );
    const { measures, base, arms, contrasts, conclusions } = analyse(record);
    expect(measures.map(({ name, unit, n }) => [name, unit, n])).toEqual([
      ['tests pass@1', 'share', 40],
      ['tests pass@2', 'share', 40],
    ]);
    expect(base).toEqual([
      { measure: 'tests pass@1', value: 0.25 },
      { measure: 'tests pass@2', value: 0.25 },
    ]);
    expect(arms[0].mean.value).toBeCloseTo(31 / 40, 12);
    const [free] = contrasts;
    expect(free.difference.value).toBeCloseTo(18 / 40, 12);
    expect(free.difference.ci95![1]).toBeLessThanOrEqual(1);
    expect(conclusions.armByArm.join('\n')).toMatch(
      /penalty on tests pass@1, points: \+45\.0 .* So the penalty helps here/,
    );
  });
  test('has a width where no problem tells arms apart', () => {
    const { contrasts } = analyse(evaluated(() => resultsOf(marksOf((i) => i < 20))));
    expect(contrasts[0].difference).toEqual({
      value: 0,
      ci95: [expect.closeTo(-0.05, 2), expect.closeTo(0.05, 2)],
    });
    expect(contrasts[0].p).toBe(1);
  });
  test('does not compare results by different protocols', () => {
    const { contrasts, caveats } = analyse(
      evaluated((arm) =>
        resultsOf(
          marksOf((i) => i < 20),
          arm === 'free' ? 'other' : 'one',
        ),
      ),
    );
    expect(contrasts.every(({ against }) => against === null)).toBe(true);
    expect(caveats).toContain(
      'Not compared: penalty and free on tests pass@1: measured by different protocols.',
    );
  });
});
