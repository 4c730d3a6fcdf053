import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { temporaryFile, temporaryFolder } from '@flex/base/testing';
import type { Section } from '@flex/train';
import { partModule } from '@flex/train/testing';
import { describe, expect, it } from 'vitest';
import { loadStudy } from './load-study.ts';
import { planStudy } from './plan-study.ts';
import { lineOf, tinyBase, tinyStudy } from './testing/tiny-study.ts';

/** The message that a study is refused with, without the folder of its file. */
async function refusal(study: Section, folder = temporaryFolder()): Promise<string> {
  try {
    await planStudy(await tinyStudy(study, folder));
  } catch (error) {
    return (error as Error).message.replaceAll(`${folder}/`, '');
  }
  throw new Error('was not refused');
}

const evaluation = { benchmark: 'humaneval' };

describe('a study is refused, in one line', () => {
  it.each<[string, Section, RegExp]>([
    ['an unknown key', { factor: {} }, /^study\.yaml:\d+: factor is not a key; did you mean factors\?$/],
    [
      'no base',
      { base: null },
      /^study\.yaml:1: base must be a configuration file, or the keys of one, got null$/,
    ],
    ['a base that is not there', { base: 'run.yaml' }, /^study\.yaml:1: base: there is no .*run\.yaml$/],
    [
      'a factor without levels',
      { factors: { a: {} } },
      /^study\.yaml:\d+: factors\.a must be a list of values, or levels such as/,
    ],
    [
      'a list without values',
      { factors: { a: [] } },
      /^study\.yaml:\d+: factors\.a must be a list of values/,
    ],
    [
      'a level that is no section',
      { factors: { a: { b: 1 } } },
      /^study\.yaml:\d+: factors\.a(\.b)? must be a (list|section)/,
    ],
    [
      'a level in upper case by its own name',
      { factors: { a: { MLP: 1 } } },
      /^study\.yaml:\d+: factors\.a(\.MLP)? must/,
    ],
    [
      'no seeds',
      { seeds: 0 },
      /^study\.yaml:\d+: seeds must be a number of seeds, or a list of them, .*got 0$/,
    ],
    [
      'a seed that is there twice',
      { seeds: [4, 2, 4] },
      /^study\.yaml:\d+: seeds\.2 is 4, which is there before$/,
    ],
    [
      'a control that there is not',
      { controls: { l2: 'on' } },
      /^study\.yaml:\d+: controls\.l2 is not a key; .*matched_l2/,
    ],
    [
      'an unknown key of an evaluation',
      { evaluations: [{ ...evaluation, max_new_token: 3 }] },
      /^study\.yaml:\d+: evaluations\.0\.max_new_token is not a key; did you mean .*max_new_tokens\?$/,
    ],
    [
      'two evaluations of a name',
      { evaluations: [evaluation, evaluation] },
      /^study\.yaml:\d+: evaluations\.1 goes by the name of another one, humaneval/,
    ],
    [
      'train.seed in the base',
      { base: { ...tinyBase, 'train.seed': 3 } },
      /^study\.yaml:\d+: sets train\.seed; the study's own key `seeds` does$/,
    ],
    [
      'out in a level',
      { factors: { a: { b: { out: 'x' } } } },
      /^study\.yaml:\d+: sets out; the folders of runs are the study's$/,
    ],
    ['train.seed as a factor', { factors: { 'train.seed': [1, 2] } }, /^study\.yaml:\d+: sets train\.seed/],
    [
      'train.seed in a section',
      { factors: { a: { b: { train: { seed: 1 } } } } },
      /^study\.yaml:\d+: sets train\.seed/,
    ],
    [
      'a value that is there twice',
      { factors: { 'lora.rank': [2, 4, 2] } },
      /^study\.yaml:\d+: factors\.lora\.rank\.2 goes by the name of another level, rank-2; take one/,
    ],
    [
      'a value that is there twice in two ways',
      { factors: { 'lora.alpha': [2, '2'] } },
      /factors\.lora\.alpha\.1 goes by the name of another level, alpha-2/,
    ],
    [
      'names that differ in case alone',
      { factors: { a: { x: { 'lora.rank': 2 }, X: { 'lora.rank': 4 } } } },
      /factors\.a\.X sets the same keys as|factors\.a\.X .*another level, x/,
    ],
    [
      'two levels that set the same',
      { factors: { a: { b: { 'lora.rank': 2 }, c: { 'lora.rank': 2 } } } },
      /^study\.yaml:\d+: factors\.a\.c sets the same keys as another level, b/,
    ],
    [
      'two levels that are the same run',
      { factors: { a: { plain: {}, named: { 'regularizer.name': 'fourier' } } } },
      /^study\.yaml: the arms plain and named are the same runs; take a level out, or change it$/,
    ],
    [
      'an arm that is called as the base model',
      { factors: { a: { 'base-model': {} } } },
      /name base-model is what the base model is called/,
    ],
    [
      'a level that is called as a control',
      { factors: { a: { unpenalized: {} } } },
      /name unpenalized is that of two that differ/,
    ],
    [
      'no held-out data and no evaluations',
      { factors: { a: { b: { eval: [] } } } },
      /^study\.yaml: measures nothing but what it trains on/,
    ],
    [
      'arms with other held-out data',
      { factors: { 'eval.max_length': [16, 32] } },
      /^study\.yaml: the arms max_length-16 and max_length-32 have different held-out data/,
    ],
    [
      'a search beside a factor search',
      { factors: { search: [1] }, search: { over: { a: [1] } } },
      /^study\.yaml:\d+: factors\.search has the name of the study's search; rename it$/,
    ],
    [
      'a distribution without random',
      { search: { over: { 'optimizer.lr': { uniform: [0, 1] } } } },
      /^study\.yaml:\d+: search\.over\.optimizer\.lr is a distribution, of which search\.random says/,
    ],
    [
      'bounds the wrong way about',
      { search: { random: 2, over: { 'optimizer.lr': { uniform: [1, 0] } } } },
      /^study\.yaml:\d+: search\.over\.optimizer\.lr must be a list of values, \{uniform/,
    ],
    [
      'a lower bound of a logarithm that has none',
      { search: { random: 2, over: { 'optimizer.lr': { log_uniform: [0, 1] } } } },
      /^study\.yaml:\d+: search\.over\.optimizer\.lr must be/,
    ],
    [
      'more trials than there are',
      { search: { random: 3, over: { 'lora.rank': [2, 4] } } },
      /^study\.yaml:\d+: search\.random asks for 3 trials that differ, and \d+ draws gave 2/,
    ],
    [
      'a list of a search with a value twice',
      { search: { over: { 'lora.rank': [2, 2] } } },
      /^study\.yaml:\d+: search\.over goes by the name of another level, rank-2/,
    ],
  ])('%s', async (_, study, message) => {
    const { base, ...rest } = study;
    const given =
      base === undefined || base === null || typeof base === 'string'
        ? study
        : { ...rest, base: { ...tinyBase(), 'train.seed': 3 } };
    const line = await refusal(given);
    expect(line).toMatch(message);
    expect(line).not.toContain('\n');
  });

  it('what a run would refuse, where the study says it', async () => {
    const folder = temporaryFolder();
    const base = { ...tinyBase(folder), 'optimizer.lr': -1 };
    const study = await tinyStudy(
      { base, factors: { size: { small: {}, big: { 'lora.rank': 0 } } } },
      folder,
    );
    await expect(planStudy(study)).rejects.toThrow(
      `study.yaml:${lineOf(study, 'optimizer.lr')}: optimizer.lr must be`,
    );
    const { 'optimizer.lr': _, ...sound } = base;
    const other = await tinyStudy(
      { base: sound, factors: { size: { small: {}, big: { 'lora.rank': 0 } } } },
      folder,
    );
    await expect(planStudy(other)).rejects.toThrow(
      `study.yaml:${lineOf(other, 'lora.rank: 0')}: lora.rank must be a whole number of at least 1, got 0`,
    );
  });

  it('a key deep in the base, at its own line', async () => {
    const folder = temporaryFolder();
    const base = { ...tinyBase(folder), train: { batch_size: 2, epochs: 'three' } };
    const study = await tinyStudy({ base }, folder);
    await expect(planStudy(study)).rejects.toThrow(
      `study.yaml:${lineOf(study, 'epochs')}: train.epochs must be`,
    );
  });

  it('two models', async () => {
    const [folder, other] = [temporaryFolder(), temporaryFolder()];
    tinyBase(other);
    const models = { here: {}, there: { model: join(other, 'model') } };
    expect(await refusal({ factors: { models } }, folder)).toMatch(
      /the arms here and there have different models/,
    );
  });
});

describe('paths', () => {
  it('of a file are relative to it, and those of key=value to the working directory', async () => {
    const folder = temporaryFolder();
    tinyBase(folder);
    mkdirSync(join(folder, 'deep'));
    const file = join(folder, 'deep', 'study.json');
    const base = { ...tinyBase(folder), model: '../model', data: { source: '../rows.jsonl' } };
    const factors = { a: { one: { model: '../model' } } };
    writeFileSync(file, JSON.stringify({ base, factors, out: 'out', seeds: 1 }));
    const { study, runs } = await planStudy(await loadStudy(file));
    expect(study.out).toBe(join(folder, 'deep', 'out'));
    expect(runs[0].config).toMatchObject({
      model: join(folder, 'model'),
      data: { source: join(folder, 'rows.jsonl') },
    });
    const here = relative(process.cwd(), join(folder, 'held.jsonl'));
    const changed = await loadStudy(file, [
      `base.data.source=${here}`,
      `out=${relative(process.cwd(), folder)}/x`,
    ]);
    expect(changed.out).toBe(join(folder, 'x'));
    expect((await planStudy(changed)).runs[0].config.data.source).toBe(join(folder, 'held.jsonl'));
    const wrong = await loadStudy(file, ['base.optimizer.lr=fast']);
    await expect(planStudy(wrong)).rejects.toThrow(
      /^override "base.optimizer.lr=fast": optimizer\.lr must be/,
    );
  });

  it('of modules in levels too', async () => {
    const folder = temporaryFolder();
    const module = partModule(
      `{ name: 'odd', schema: z.strictObject({}), make: () => ({ penalty: () => null }) }`,
    );
    const levels = { mine: { regularizer: { use: `./${relative(folder, module)}` } } };
    const { runs } = await planStudy(await tinyStudy({ factors: { penalty: levels }, seeds: 1 }, folder));
    expect(runs[0].config.regularizer[0].use).toBe(module);
  });

  it('a base in a file is a run as it stands, but for its seed and its folder', async () => {
    const folder = temporaryFolder();
    const run = { ...tinyBase(folder), out: 'elsewhere', 'train.seed': 7 };
    const { train, ...rest } = run as Section;
    const nested = Object.fromEntries(Object.entries(rest).filter(([key]) => !key.includes('.')));
    writeFileSync(
      join(folder, 'run.json'),
      JSON.stringify({ ...nested, train: { ...(train as Section), seed: 7 } }),
    );
    const { runs } = await planStudy(await tinyStudy({ base: 'run.json', seeds: [5] }, folder));
    expect(runs[0].config).toMatchObject({
      out: join(folder, 'out/runs/fourier/seed-5'),
      train: { seed: 5 },
    });
  });
});

describe('a study in TypeScript', () => {
  const module = (text: string) => temporaryFile('study.mjs', `export default ${text};\n`);

  it('is that of a file with its keys in snake_case', async () => {
    const folder = temporaryFolder();
    const base = tinyBase(folder);
    const schedule = { warmup_steps: 1 };
    const written = await tinyStudy(
      {
        base: { ...base, eval: { source: join(folder, 'held.jsonl'), max_length: 16 } },
        factors: {
          'optimizer.lora_plus_ratio': [1, 4],
          kind: {
            one_level: { regularizer: { phi_low: 0.5 } },
            two: { 'regularizer.phi_high': 0.2, schedule },
          },
          regularizer: [{ phi_low: 0.1 }],
        },
        search: { random: 2, over: { 'regularizer.permutation_seed': { int_uniform: [1, 90] } } },
        controls: { matched_l2: { off: 'not of interest here' } },
        evaluations: [{ benchmark: 'humaneval', max_new_tokens: 7 }],
        seeds: 1,
      },
      folder,
    );
    const camel = JSON.stringify({ ...written.written, out: join(folder, 'out') }).replace(
      /"([a-z0-9_.]+)":/gi,
      (_, key: string) =>
        key === 'one_level'
          ? `"${key}":`
          : `"${key.replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase())}":`,
    );
    expect(camel).toContain('"matchedL2"');
    const study = await loadStudy(module(camel));
    expect((await planStudy(study)).runs).toEqual((await planStudy(written)).runs);
    expect(study.evaluations).toEqual(written.evaluations);
  });

  it('has no parts as values, and a default export', async () => {
    const folder = temporaryFolder();
    const part = `{ name: 'odd', schema: z.strictObject({}), make: () => ({ penalty: () => null }) }`;
    const value = partModule(
      `{ base: { ...${JSON.stringify(tinyBase(folder))}, train: {}, regularizer: { use: ${part} } }, out: 'out' }`,
    );
    await expect(planStudy(await loadStudy(value))).rejects.toThrow(
      /mine\.mjs: has the part odd as a value, which no file of a run can hold; name its module, use: '\.\/…'$/,
    );
    await expect(loadStudy(module('3'))).rejects.toThrow(
      /study\.mjs: must have a default export made with defineStudy/,
    );
  });
});
