import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Code, DataError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import type { Section } from '@flex/train';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planStudy } from './plan-study.ts';
import { readStudyManifest, writeStudy } from './study-folder.ts';
import { tinyBase, tinyStudy } from './testing/tiny-study.ts';

const code: Code = { commit: null, source: '0', versions: {} };

/** A folder in which studies of one base are written one after the other. */
function studies() {
  const folder = temporaryFolder();
  const base = tinyBase(folder);
  return {
    folder,
    base,
    write: async (study: Section) =>
      writeStudy(await planStudy(await tinyStudy({ base, ...study }, folder)), code),
  };
}

const runsOf = ({ runs }: { readonly runs: readonly { readonly name: string; readonly key: string }[] }) =>
  runs.map(({ name, key }) => `${name} ${key}`);

describe('a study grows', () => {
  it('by levels wherever they are put, by factors and by seeds, and keeps every run under its name', async () => {
    const pick = <T>(...from: T[]) => fc.subarray(from, { minLength: 1 });
    const size = fc.record({
      lambdas: pick(0, 0.02, 0.5),
      ranks: pick(2, 3),
      kinds: pick('fourier', 'dct'),
      seeds: pick(0, 1),
    });
    const studyOf = ({
      lambdas,
      ranks,
      kinds,
      seeds,
    }: {
      lambdas: number[];
      ranks: number[];
      kinds: string[];
      seeds: number[];
    }) => ({
      factors: {
        'regularizer.lambda': lambdas,
        // The base has rank 2: a study without this factor is one of that level.
        ...((ranks.length > 1 || ranks[0] !== 2) && { 'lora.rank': ranks }),
        ...(kinds.length > 1 && {
          kind: Object.fromEntries(kinds.map((name) => [name, { 'regularizer.name': name }])),
        }),
      },
      seeds,
    });
    await fc.assert(
      fc.asyncProperty(size, size, async (first, added) => {
        const { write, folder } = studies();
        const before = await write(studyOf(first));
        const both = <K extends 'lambdas' | 'ranks' | 'kinds' | 'seeds'>(key: K) =>
          [...new Set<unknown>([...added[key], ...first[key]])] as (typeof first)[K];
        // `kind` is named by what it is where it is a factor, and fourier where it is not.
        fc.pre(first.kinds.length > 1 || first.kinds[0] === 'fourier');
        const grown = await write(
          studyOf({
            lambdas: both('lambdas'),
            ranks: both('ranks'),
            kinds: both('kinds'),
            seeds: both('seeds'),
          }),
        );
        expect(runsOf(grown)).toEqual(expect.arrayContaining(runsOf(before)));
        expect(readStudyManifest(join(folder, 'out'))).toEqual(JSON.parse(JSON.stringify(grown)));
        expect(grown.history).toHaveLength(2);
      }),
      { numRuns: 3 },
    );
  });

  it('and an arm keeps its name where its level is called otherwise', async () => {
    const { write } = studies();
    const before = await write({ factors: { size: { small: { 'lora.rank': 2 } } }, seeds: 1 });
    const grown = await write({
      factors: { size: { big: { 'lora.rank': 3 }, little: { 'lora.rank': 2 } } },
      seeds: 1,
    });
    expect(grown.arms.map(({ name }) => name).sort()).toEqual(
      [
        ...before.arms.map(({ name }) => name),
        'big',
        'unpenalized+big',
        'matched-l2+big',
        'permuted-frequencies+big',
      ].sort(),
    );
    const small = grown.arms.find(({ name }) => name === 'small')!;
    expect(small.aliases).toEqual(['little']);
    expect(grown.arms.find(({ name }) => name === 'matched-l2+small')!.controls).toEqual([
      { kind: 'matched-l2', of: 'small' },
    ]);
  });

  it('by a control that is switched on', async () => {
    const { write } = studies();
    await write({ controls: { matched_l2: { off: 'not asked at first' } }, seeds: 1 });
    expect((await write({ seeds: 1 })).arms.map(({ name }) => name)).toContain('matched-l2');
  });
});

describe('a study is refused that would lose or change', () => {
  const lambdas = (...values: number[]) => ({ 'regularizer.lambda': values });
  const advice = 'take another out: a study may grow, and what was run and compared stays in it';
  it.each<[string, Section, Section, string]>([
    [
      'a level',
      { factors: lambdas(0.1, 0.2) },
      { factors: lambdas(0.1) },
      'its study has the run lambda-0.2/seed-0, and this one has not',
    ],
    [
      'a seed',
      { seeds: [0, 1] },
      { seeds: [1, 2] },
      'its study has the run fourier/seed-0, and this one has not',
    ],
    [
      'a run',
      {},
      { 'base.optimizer.lr': 0.5 },
      'its run fourier/seed-0 is another one: optimizer.lr was 0.02 and is 0.5',
    ],
    [
      'a control',
      {},
      { controls: { unpenalized: { off: 'seen, and not liked' } } },
      'its study has the run unpenalized/seed-0',
    ],
    [
      'what a run is the control of',
      { factors: lambdas(0, 0.1) },
      { factors: lambdas(0, 0.1), controls: { unpenalized: { off: 'seen, and not liked' } } },
      'in its study the arm lambda-0 is the unpenalized control of lambda-0.1, and not in this one',
    ],
    [
      'what a run is a level of',
      { factors: lambdas(0, 0.1) },
      { factors: lambdas(0.1) },
      'in its study the arm lambda-0 is a level, and in this one only a control',
    ],
    [
      'the base model',
      {},
      { controls: { base_model: { off: 'seen, and not liked' } } },
      'its study has the control base-model, which this one switches off',
    ],
    [
      'an evaluation',
      { evaluations: [{ benchmark: 'humaneval' }] },
      {},
      'its study has another evaluation humaneval, or this one has none',
    ],
    [
      'how one is done',
      { evaluations: [{ benchmark: 'humaneval' }] },
      { evaluations: [{ benchmark: 'humaneval', n: 2 }] },
      'its study has another evaluation humaneval',
    ],
  ])('%s', async (_, first, second, message) => {
    const { write, base, folder } = studies();
    const before = await write({ seeds: 1, ...first });
    const { 'base.optimizer.lr': lr, ...rest } = second;
    const changed = lr === undefined ? base : { ...base, 'optimizer.lr': lr };
    await expect(write({ seeds: 1, ...rest, base: changed })).rejects.toThrow(
      new RegExp(`^${join(folder, 'out')}: ${message}.*; ${advice}$`),
    );
    expect(readStudyManifest(join(folder, 'out'))).toEqual(JSON.parse(JSON.stringify(before)));
  });

  it('the contents of its data', async () => {
    const { write, folder } = studies();
    await write({ seeds: 1 });
    writeFileSync(join(folder, 'rows.jsonl'), '{"input_ids": [1, 2, 3, 4]}\n');
    await expect(write({ seeds: 1 })).rejects.toThrow(
      'its module, model, adapter or data have other contents',
    );
  });
});

describe('study.json', () => {
  it('is refused where it was changed or is malformed', async () => {
    const { write, folder } = studies();
    const manifest = await write({ seeds: 1 });
    const file = join(folder, 'out', 'study.json');
    const text = readFileSync(file, 'utf8');
    const read = (changed: string) => {
      writeFileSync(file, changed);
      return () => readStudyManifest(join(folder, 'out'));
    };
    const [{ key }] = manifest.runs;
    const another = key.startsWith('0') ? `1${key.slice(1)}` : `0${key.slice(1)}`;
    for (const [changed, message] of [
      [text.replaceAll(key, another), 'its digest is not that of its runs and evaluations: it was changed'],
      [text.replace(key, 'x'), 'runs.0.key'],
      [text.replace('"isLevel": true', '"isLevel": 1'), 'arms.0.isLevel must be true or false'],
      [text.replace('"kind": "matched-l2"', '"kind": "l3"'), 'arms.2.controls.0.kind must be'],
      [text.replace('"name": "matched-l2"', '"name": "l3"'), 'runs.2.arm is matched-l2, which is no arm'],
      [text.replace('"of": "fourier"', '"of": "l3"'), 'arms.1.controls.0.of is l3, which is no arm'],
      [text.slice(0, -20), 'study.json'],
    ]) {
      expect(read(changed)).toThrow(DataError);
      expect(read(changed)).toThrow(message);
    }
    expect(read('{"kind": "another"}')).toThrow('holds no study');
    expect(read(text)().digest).toBe(manifest.digest);
  });
});
