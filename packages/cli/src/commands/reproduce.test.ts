import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  planStudy,
  type Reading,
  type RoundMaterial,
  readings,
  readStudy,
  roundStudy,
  rounds,
  type StudyPlan,
  studyOf,
} from '@flex/study';
import { afterAll, describe, expect, test } from 'vitest';
import { quickstart } from '../quickstart.ts';
import { roundMaterial } from '../round-material.ts';
import { flex } from '../testing/flex.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-rounds-'));
afterAll(() => rmSync(root, { recursive: true }));
const at = (name: string) => join(root, name);

/** A round as it is planned, with one seed. */
async function planned(round: number, reading: Reading, material: RoundMaterial): Promise<StudyPlan> {
  const value = { ...roundStudy(round, reading, material), out: at('planned') };
  return planStudy(studyOf({ value, where: () => 'a round' }, 'a round', ['seeds=1']));
}

const configOf = ({ runs }: StudyPlan, arm: string) => runs.find((run) => run.arm === arm)!.config;

/** A folder with files of the names that a full reproduction reads, whose rows nothing here looks at. */
function dataFolder(without = 'none'): string {
  const folder = at(`without-${without}`);
  const files = ['mbpp.jsonl', 'mbjp.jsonl', 'HumanEval.jsonl.gz', 'multipl-e/humaneval-java.jsonl'];
  for (const file of [...files, 'apps/train/2000/question.txt']) {
    if (file === without) continue;
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), '{}\n');
  }
  return folder;
}

const everyRound = rounds.flatMap((_, round) => readings.map((reading) => [round, reading] as const));

describe('a round', () => {
  const bundled = roundMaterial({ model: undefined, data: undefined });
  const data = dataFolder();
  const given = roundMaterial({ model: undefined, data });
  const full = roundMaterial({ model: quickstart.model, data });

  test.each(everyRound)('%i, %s, measures what it has a claim of, at every scale', async (round, reading) => {
    for (const material of reading === 'script' ? [bundled] : [bundled, full]) {
      const { study, arms, runs } = await planned(round, reading, material);
      expect(study.title).toContain(`Round ${round}`);
      expect(study.claims.length).toBeGreaterThan(0);
      const heldOut = runs[0].config.eval.map(({ source, split }) => `${source.split('/').at(-1)} ${split}`);
      const measures = [...heldOut, ...study.evaluations.map(({ name }) => `${name} pass@1`)];
      const controls = arms.flatMap((arm) => arm.controls.map(({ of }) => of));
      for (const { measure, arm, against } of study.claims) {
        expect(measures).toContain(measure);
        expect(measure.endsWith('pass@1')).toBe(material === full);
        expect(arms.find(({ name }) => name === arm)?.isLevel).toBe(true);
        if (against !== undefined && against !== 'base-model')
          expect(arms.map(({ name }) => name)).toContain(against);
      }
      const penalized = arms.filter(
        ({ name, isLevel }) => isLevel && configOf({ runs } as StudyPlan, name).regularizer.length > 0,
      );
      for (const { name } of penalized) {
        expect(controls.filter((of) => of === name)).toHaveLength(3);
      }
    }
  });

  test('of the penalty is what each reading says of it', async () => {
    const [printed, script, corrected] = await Promise.all(
      readings.map((reading) => planned(5, reading, full)),
    );
    expect(configOf(printed, 'fourier')).toMatchObject({
      data: { split: 'all', lossOn: 'all', appendEos: true },
      lora: { scaling: 'alpha', rank: 8, alpha: 16, targets: ['gate_proj', 'up_proj', 'down_proj'] },
      regularizer: [{ name: 'fourier', lambda: 0.02, norm: 'backward', threshold: 0.5 }],
      optimizer: { name: 'adamw', lr: 2e-4 },
    });
    // Held-out Python is no row of MBPP, as all of them are trained on.
    expect(configOf(printed, 'fourier').eval.map(({ source }) => source)).not.toContain(full.mbpp.all.source);
    expect(configOf(script, 'mlp')).toMatchObject({
      data: { split: '601-974', lossOn: 'all', appendEos: false, shuffle: false },
      lora: { scaling: 'alpha/r', targets: ['gate_proj', 'up_proj', 'down_proj'] },
      regularizer: [{ name: 'fourier', lambda: 0.02, norm: 'ortho' }],
      schedule: { name: 'cosine', minLrRatio: 0.05 },
    });
    expect(configOf(script, 'threshold-0.3')).toMatchObject({
      lora: { targets: ['q_proj', 'v_proj'] },
      regularizer: [{ lambda: 0.01, threshold: 0.3, phiLow: 1, phiHigh: 0.1 }],
    });
    expect(configOf(corrected, 'fourier')).toMatchObject({
      data: { split: '601-974', lossOn: 'completion', appendEos: true, shuffle: true },
      lora: { scaling: 'alpha/r' },
      regularizer: [{ name: 'fourier', lambda: 0.02, norm: 'ortho' }],
    });
    expect(script.study.evaluations[0]).toMatchObject({ numBeams: 8, truncate: 'blank-line', merged: false });
    expect(corrected.study.evaluations).toHaveLength(2);
    const { study } = await planned(4, 'corrected', full);
    expect(study.evaluations.map(({ name, merged }) => [name, merged])).toEqual([
      ['humaneval', false],
      ['java', false],
      ['humaneval-merged', true],
      ['java-merged', true],
    ]);
  });

  test('of the optimizers has the Sophia that the reading is of', async () => {
    const script = await planned(2, 'script', full);
    expect(configOf(script, 'sophia')).toMatchObject({
      data: { split: '2000-2324', lossOn: 'all-and-padding', appendEos: false },
      optimizer: { name: 'lion', betas: [0.965, 0.965], lr: 1.6e-4, weightDecay: 0.01 },
      schedule: { name: 'constant' },
      train: { maxGradNorm: null, batchSize: 4, gradAccumulation: 4 },
    });
    const corrected = await planned(2, 'corrected', full);
    expect(configOf(corrected, 'sophia')).toMatchObject({
      optimizer: { name: 'sophia-g', lr: 1.6e-4 },
      schedule: { name: 'cosine', minLrRatio: 0 },
      train: { maxGradNorm: 1 },
    });
    expect(configOf(corrected, 'adamw').optimizer).toMatchObject({ name: 'adamw', lr: 2e-4 });
  });

  test('on the bundled model trains on no row that this has seen or that is held out', async () => {
    expect(configOf(await planned(1, 'corrected', given), 'lora').data.split).toBe('11-510');
    for (const reading of readings) {
      const plan = await planned(1, reading, bundled);
      const { data, optimizer } = configOf(plan, 'lora');
      expect(optimizer.lr).toBe(2e-3);
      expect(plan.study.notes.join(' ')).toMatch(/1\.7 million parameters .* ten times .* 80 bundled tasks/);
      expect([data.source, data.split]).toEqual([quickstart.data.source, '1-80']);
    }
  });
});

test('round 0 changes no weight: what it measures is the base model', async () => {
  const out = at('round-0');
  const { code, stdout, stderr } = await flex('reproduce', '0', `out=${out}`, '--device', 'cpu', '--json');
  expect(code, stderr).toBe(0);
  const { claims } = JSON.parse(stdout.trim().split('\n').at(-1)!);
  const [{ summary }] = readStudy(out).runs;
  const losses = Object.values(summary!.eval);
  expect(losses).toHaveLength(2);
  for (const { before, after } of losses) expect(after).toBe(before);
  expect(claims).toMatchObject([
    {
      figure: expect.stringContaining('34.15 %'),
      unit: 'nats',
      mean: { value: expect.closeTo(losses[0].before, 6) },
    },
    {
      figure: expect.stringContaining('33.25 %'),
      unit: 'nats',
      mean: { value: expect.closeTo(losses[1].before, 6) },
    },
  ]);
  expect(readStudy(out).manifest.title).toBe('Round 0, corrected: The base model');
});

describe('is refused in one line:', () => {
  test.each<[string, string[], string | RegExp]>([
    ['no such round', ['6'], 'It must be a round from 0 to 5.'],
    ['no such reading', ['5', '--reading', 'papr'], 'Allowed choices are printed, script, corrected.'],
    ['a key of a study that is misspelt', ['5', 'sedes=1'], 'sedes is not a key; did you mean seeds?'],
    ['two models', ['5', 'model=a', 'model=b'], 'model= is given twice'],
    ['a folder without data', ['5', '--data', root], /mbpp: no mbpp\.jsonl .*--data/],
    [
      'a folder that lacks some',
      ['5', '--data', dataFolder('mbjp.jsonl')],
      /mbxp:java: no mbjp\.jsonl .*--data/,
    ],
    ['a model that is not there', ['5', 'model=/no/model', '--data', dataFolder()], /\/no\/model/],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await flex('reproduce', ...args, '--quiet');
    expect(stderr).toMatch(message);
    expect({ code, stdout, lines: stderr.trim().split('\n').length }).toEqual({
      code: 2,
      stdout: '',
      lines: 1,
    });
  });
});
