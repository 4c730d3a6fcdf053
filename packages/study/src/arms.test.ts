import { temporaryFolder } from '@flex/base/testing';
import { plainConfig, type Section } from '@flex/train';
import { partModule, trainOnCpu } from '@flex/train/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { comparisonsOf } from './comparisons.ts';
import { type PlannedRun, planStudy, type StudyPlan } from './plan-study.ts';
import { tinyBase, tinyStudy } from './testing/tiny-study.ts';

const drift = () =>
  partModule(`{
    name: 'drift',
    schema: z.strictObject({ power: z.int().default(2) }),
    make: () => ({ penalty: (adapters) => [...adapters.values()][0].a.reshape?.() }),
  }`);

const planOf = async (study: Section, folder?: string) => planStudy(await tinyStudy(study, folder));
const armNames = ({ arms }: StudyPlan) => arms.map(({ name }) => name);
const runOf = ({ runs }: StudyPlan, arm: string, seed = 0): PlannedRun =>
  runs.find((run) => run.arm === arm && run.seed === seed)!;
const penaltyOf = (plan: StudyPlan, arm: string, seed = 0) =>
  plainConfig(runOf(plan, arm, seed).config).regularizer as Section;
/** What an arm with this penalty is compared with, by kind. */
const controlsOf = (plan: StudyPlan, arm: string) =>
  Object.fromEntries(
    plan.arms.flatMap(({ name, controls }) =>
      controls.filter(({ of }) => of === arm).map(({ kind }) => [kind, name]),
    ),
  );

describe('the controls of an arm', () => {
  const unpenalized = { unpenalized: 'unpenalized' };
  const matched = { 'matched-l2': 'matched-l2' };
  const frequencies = { 'permuted-frequencies': 'permuted-frequencies' };
  const order = { 'permuted-order': 'permuted-order' };

  it.each<[string, unknown, object]>([
    ['fourier', { name: 'fourier' }, { ...matched, ...frequencies }],
    ['swapped frequencies', { name: 'swapped-frequencies' }, { ...matched, ...frequencies }],
    ['permuted frequencies, a placebo itself', { name: 'permuted-frequencies' }, matched],
    ['dct', { name: 'dct' }, { ...matched, ...order }],
    ['l2, which has neither strength to match nor an order', { name: 'l2' }, {}],
    ['matched L2', { name: 'matched-l2' }, {}],
    ['fourier beside l2', [{ name: 'fourier' }, { name: 'l2' }], { ...matched, ...frequencies }],
    ['fourier beside dct', [{ name: 'fourier' }, { name: 'dct' }], { ...matched, ...order }],
    [
      'fourier beside a dct of λ = 0',
      [{ name: 'fourier' }, { name: 'dct', lambda: 0 }],
      { ...matched, ...frequencies },
    ],
    ['a stand-in', { name: 'dct', control: 'permuted-order' }, matched],
  ])('of %s', async (_, regularizer, expected) => {
    const plan = await planOf({ base: { ...tinyBase(), regularizer }, seeds: 1 });
    const [arm] = plan.arms;
    expect(controlsOf(plan, arm.name)).toEqual({ ...unpenalized, ...expected });
    expect(plan.arms.every(({ controls }) => controls.every(({ of }) => of === arm.name))).toBe(true);
  });

  it("of a stranger's penalty stand in for it, and are named by its module", async () => {
    const use = drift();
    const plan = await planOf({
      base: { ...tinyBase(), regularizer: { use, lambda: 0.3, power: 4 } },
      seeds: 1,
    });
    expect(armNames(plan)).toEqual(['mine', 'unpenalized', 'matched-l2', 'permuted-order']);
    for (const control of ['matched-l2', 'permuted-order'])
      expect(penaltyOf(plan, control)).toEqual({ use, lambda: 0.3, power: 4, enters: 'loss', control });
    expect(plainConfig(runOf(plan, 'unpenalized').config).regularizer).toBe('none');
  });

  it('keep every option of the penalty, and take the seed of their run', async () => {
    const options = { lambda: 0.3, threshold: 0.25, norm: 'mean', scope: 'a', enters: 'decoupled' };
    const plan = await planOf({ base: { ...tinyBase(), regularizer: options }, seeds: [3, 8] });
    const given = penaltyOf(plan, 'fourier', 3);
    expect(given).toMatchObject(options);
    for (const seed of [3, 8]) {
      expect(penaltyOf(plan, 'permuted-frequencies', seed)).toEqual({
        ...given,
        name: 'permuted-frequencies',
        frequency_seed: seed,
      });
    }
    expect(penaltyOf(plan, 'matched-l2', 8)).toEqual({
      ...given,
      name: 'matched-l2',
      match: 'expected-penalty',
      factor: 'fixed',
    });
  });

  it.each(['change', 'product', 'b'])(
    'match at every update where scope %s starts at zero',
    async (scope) => {
      const plan = await planOf({ base: { ...tinyBase(), regularizer: { scope } }, seeds: 1 });
      expect(penaltyOf(plan, 'matched-l2')).toMatchObject({ scope, factor: 'kept' });
    },
  );

  it('train, whatever they stand in for', async () => {
    const folder = temporaryFolder();
    const levels = {
      fourier: { regularizer: { name: 'fourier', scope: 'product' } },
      both: { regularizer: [{ name: 'fourier' }, { name: 'dct', lambda: 0.5 }, { name: 'l2' }] },
    };
    const controls = { unpenalized: { off: 'it stands in for nothing' } };
    const plan = await planOf({ factors: { penalty: levels }, controls, seeds: 1 }, folder);
    for (const { config, arm } of plan.runs) {
      const { status, steps } = await trainOnCpu(config);
      expect([arm, status, steps]).toEqual([arm, 'done', 2]);
    }
    expect(plan.runs).toHaveLength(6);
  });

  it('are switched off by a reason alone, each by itself', async () => {
    const off = 'no time for more than one of them';
    const plan = await planOf({ controls: { matched_l2: { off } }, seeds: 1 });
    expect(armNames(plan)).toEqual(['fourier', 'unpenalized', 'permuted-frequencies']);
    expect(plan.study.off).toEqual({ 'matched-l2': off });
    for (const wrong of [false, 'off', { off: '' }, { off: 'why not' }]) {
      const refused = tinyStudy({ controls: { matched_l2: wrong } });
      await expect(refused).rejects.toThrow(
        /study\.yaml:\d+: controls\.matched_l2(\.off)? must be .*the reason, a sentence that/,
      );
    }
  });
});

describe('arms', () => {
  it('without a penalty are the unpenalized control of the others, and one where they are one run', async () => {
    const plan = await planOf({
      factors: { 'regularizer.threshold': [0.3, 0.6], 'regularizer.lambda': [0, 0.1] },
      seeds: 1,
    });
    const [free] = plan.arms;
    expect(free).toMatchObject({ name: 'threshold-0.3+lambda-0', isLevel: true });
    expect(free.aliases).toEqual(['unpenalized', 'threshold-0.6+lambda-0']);
    expect(free.controls).toEqual([
      { kind: 'unpenalized', of: 'threshold-0.3+lambda-0.1' },
      { kind: 'unpenalized', of: 'threshold-0.6+lambda-0.1' },
    ]);
    expect(plan.arms).toHaveLength(1 + 2 * 3);
  });

  it('have their own levels, also where an arm before them has them as a control', async () => {
    const optimizer = { adamw: { 'optimizer.name': 'adamw' }, lion: { 'optimizer.name': 'lion' } };
    const plan = await planOf({ factors: { optimizer, 'regularizer.lambda': [0.1, 0] }, seeds: 1 });
    for (const { name, isLevel, levels } of plan.arms)
      if (isLevel) expect(name).toBe(Object.values(levels).join('+'));
    const pairs = comparisonsOf({ arms: plan.arms, off: {} }).flatMap(({ question, arm, against }) =>
      question === 'levels' ? `${arm} - ${against}` : [],
    );
    expect(pairs).toEqual(['lion+lambda-0.1 - adamw+lambda-0.1', 'lion+lambda-0 - adamw+lambda-0']);
  });

  it('share a control where it is the same run', async () => {
    const regularizer = [{ name: 'fourier' }, { name: 'swapped-frequencies' }, { name: 'matched-l2' }];
    const plan = await planOf({ factors: { regularizer }, seeds: 2 });
    expect(armNames(plan)).toEqual([
      'regularizer-fourier',
      'unpenalized',
      'regularizer-matched-l2',
      'permuted-frequencies+regularizer-fourier',
      'regularizer-swapped-frequencies',
    ]);
    const matched = plan.arms[2];
    expect(matched).toMatchObject({
      isLevel: true,
      aliases: ['matched-l2+regularizer-fourier', 'matched-l2+regularizer-swapped-frequencies'],
    });
    expect(matched.controls.map(({ of }) => of)).toEqual([
      'regularizer-fourier',
      'regularizer-swapped-frequencies',
    ]);
  });

  it('are not one where some of their runs differ', async () => {
    const regularizer = [{ name: 'fourier' }, { name: 'permuted-frequencies', frequency_seed: 0 }];
    const plan = (seeds: number) => planOf({ factors: { regularizer }, seeds });
    expect((await plan(1)).arms).toHaveLength(4);
    expect((await plan(2)).arms).toHaveLength(5);
  });

  it('tell what their levels set', async () => {
    const plan = await planOf({
      factors: { size: { small: { 'lora.rank': 2 }, big: { lora: { rank: 4 } } }, 'optimizer.lr': [0.1] },
      controls: {
        matched_l2: { off: 'not asked in this test' },
        permuted_frequencies: { off: 'not asked in this test' },
      },
      seeds: 1,
    });
    expect(plan.arms.map(({ name, levels, keys }) => [name, levels, keys])).toEqual([
      ['small+lr-0.1', { size: 'small', 'optimizer.lr': 'lr-0.1' }, { 'lora.rank': 2, 'optimizer.lr': 0.1 }],
      [
        'unpenalized+small+lr-0.1',
        { size: 'small', 'optimizer.lr': 'lr-0.1' },
        { 'lora.rank': 2, 'optimizer.lr': 0.1 },
      ],
      ['big+lr-0.1', { size: 'big', 'optimizer.lr': 'lr-0.1' }, { lora: { rank: 4 }, 'optimizer.lr': 0.1 }],
      [
        'unpenalized+big+lr-0.1',
        { size: 'big', 'optimizer.lr': 'lr-0.1' },
        { lora: { rank: 4 }, 'optimizer.lr': 0.1 },
      ],
    ]);
  });
});

describe('laws of arms', () => {
  const off = (name: string) => fc.constantFrom({}, { [name]: { off: 'switched off by this test' } });
  const studies = fc.record({
    factors: fc.record(
      {
        'regularizer.lambda': fc.uniqueArray(fc.constantFrom(0, 0.02, 0.5), { minLength: 1 }),
        'lora.rank': fc.uniqueArray(fc.constantFrom(2, 3), { minLength: 1 }),
        kind: fc
          .uniqueArray(fc.constantFrom('fourier', 'swapped-frequencies', 'dct', 'l2'), { minLength: 1 })
          .map((names) => Object.fromEntries(names.map((name) => [name, { 'regularizer.name': name }]))),
      },
      { requiredKeys: [] },
    ),
    seeds: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 2 }),
    controls: fc
      .tuple(...['unpenalized', 'matched_l2', 'permuted_frequencies', 'permuted_order'].map(off))
      .map((all): Section => Object.assign({}, ...all)),
  });

  const frequencies = ['unpenalized', 'matched-l2', 'permuted-frequencies'];
  const kindsOf: Readonly<Record<string, readonly string[]>> = {
    fourier: frequencies,
    'swapped-frequencies': frequencies,
    dct: ['unpenalized', 'matched-l2', 'permuted-order'],
    l2: ['unpenalized'],
  };

  it('hold for any study', async () => {
    const folder = temporaryFolder();
    const base = tinyBase(folder);
    await fc.assert(
      fc.asyncProperty(studies, async (study) => {
        const plan = await planOf({ base, ...study }, folder);
        const { arms, runs } = plan;
        const names = armNames(plan);
        expect(new Set(names).size).toBe(names.length);
        expect(new Set(runs.map(({ key }) => key)).size).toBe(runs.length);
        expect(runs.map(({ name }) => name)).toEqual(
          names.flatMap((name) => study.seeds.map((seed) => `${name}/seed-${seed}`)),
        );
        for (const { seed, config } of runs) expect(config.train.seed).toBe(seed);
        for (const { name, controls, isLevel } of arms) {
          expect(isLevel || controls.length > 0, name).toBe(true);
          for (const { kind, of } of controls) {
            expect(study.controls).not.toHaveProperty(kind.replaceAll('-', '_'));
            for (const seed of study.seeds) {
              const [control, arm] = [name, of].map((one) => plainConfig(runOf(plan, one, seed).config));
              expect({ ...control, out: null, regularizer: null }).toEqual({
                ...arm,
                out: null,
                regularizer: null,
              });
              if (kind === 'unpenalized') expect(control.regularizer).toBe('none');
              else expect(control.regularizer).not.toEqual(arm.regularizer);
            }
          }
        }
        for (const { name, isLevel } of arms) {
          const [penalty] = runOf(plan, name, study.seeds[0]).config.regularizer;
          const isOn = (kind: string) => !(kind.replaceAll('-', '_') in study.controls);
          const expected = isLevel && penalty !== undefined ? kindsOf[penalty.name!].filter(isOn) : [];
          expect(Object.keys(controlsOf(plan, name)).sort(), name).toEqual(expected.toSorted());
        }
      }),
      { numRuns: 6 },
    );
  });

  it('the order of factors, levels and seeds decides no key', async () => {
    const folder = temporaryFolder();
    const base = tinyBase(folder);
    const reversed = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.toReversed()
        : Object.fromEntries(Object.entries(value as object).reverse());
    await fc.assert(
      fc.asyncProperty(studies, async ({ factors, seeds, controls }) => {
        const other = Object.fromEntries(
          Object.entries(factors).map(([key, levels]) => [key, reversed(levels)]),
        );
        const one = await planOf({ base, factors, seeds, controls }, folder);
        const turned = { base, factors: reversed(other) as Section, seeds: seeds.toReversed(), controls };
        expect((await planOf(turned, folder)).digest).toBe(one.digest);
      }),
      { numRuns: 3 },
    );
  });
});
