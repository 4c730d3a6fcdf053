import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, DataError } from '@flex/base';
import { jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { openPeftCase } from '@flex/fixtures';
import { openWasm } from '@flex/tensor';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadConfig, planRun, train } from '../index.ts';
import { lockRun } from '../lock-run.ts';
import { prepare } from '../prepare.ts';
import { readManifest } from '../run-folder.ts';
import { loadDataSet } from './data-set.ts';
import { describeLost, describeOverlaps } from './describe-data.ts';
import type { TokenizerLike } from './encode.ts';
import { lengthHistogram } from './length-histogram.ts';
import { loadRunData, requireApart } from './run-data.ts';

const assets = join(import.meta.dirname, '../../../cli/assets');
const tasks = join(assets, 'quickstart/tasks.jsonl');
const java = join(assets, 'quickstart/tasks-java.jsonl');

/** A run of the bundled model on bundled tasks. */
function configure(...overrides: readonly string[]) {
  const out = join(temporaryFolder(), 'run');
  return loadConfig({
    overrides: [`model=${join(assets, 'micro')}`, `data.source=${tasks}`, `out=${out}`, ...overrides],
  });
}

/** A run of a tiny model on rows of token ids, of which the last has nothing to score. */
function ofIds(...overrides: readonly string[]) {
  const ids = Array.from({ length: 5 }, (_, row) =>
    Array.from({ length: 9 }, (_, i) => 3 + ((4 * row + i) % 21)),
  );
  const rows = temporaryFile(
    'rows.jsonl',
    jsonl(...[...ids, ids[0], [5]].map((input_ids) => ({ input_ids }))),
  );
  const held = temporaryFile('held.jsonl', jsonl({ input_ids: [3, 4, 3, 4] }, { input_ids: ids[1] }));
  return loadConfig({
    overrides: [
      ...[
        `model=${openPeftCase('dora').model}`,
        `data.source=${rows}`,
        `eval={source: ${held}}`,
        'dtype=f32',
      ],
      ...[`out=${join(temporaryFolder(), 'run')}`, 'regularizer=none', 'train.max_steps=1', ...overrides],
    ],
  });
}

describe('rows that are trained on and held out', () => {
  test('are refused in one line that names them, and nothing is written', async () => {
    const config = await configure(
      'data.split=1-80',
      `eval=[{source: ${java}}, {source: ${tasks}, split: 80-81}]`,
    );
    const refused = expect(train(config, { backend: openWasm() })).rejects;
    await refused.toThrow(DataError);
    await refused.toThrow(
      `tasks.jsonl 80-81: 1 of 2 held-out rows are trained on in tasks.jsonl 1-80, such as ${tasks}:80 (80), ` +
        `which is ${tasks}:80 (80): the same prompt and completion; take other rows, or allow it with ` +
        'data.allow_overlap: true',
    );
    expect(existsSync(config.out)).toBe(false);
  });

  test('are found whatever template they are learnt by', async () => {
    const template = "data.template={prompt: '# {text}', completion: '{code}#'}";
    const config = await configure('data.split=1-80', template, `eval={source: ${tasks}, split: 80-81}`);
    const found = await loadRunData(config);
    expect(() => requireApart(config, found)).toThrow('1 of 2 held-out rows are trained on');
  });

  test('are told and recorded where that is allowed, which changes no number of the run', async () => {
    const config = await ofIds('data.allow_overlap=true');
    const summary = await train(config, { backend: openWasm() });
    const { overlaps } = readManifest(config.out);
    expect(overlaps).toMatchObject({
      rule: { ngram: { words: 8 } },
      rows: 6,
      duplicates: 1,
      sets: [
        { name: 'held.jsonl all', rows: 2, counts: { row: { rows: 1, of: 1 } }, same: { rows: 1, of: 1 } },
      ],
    });
    expect(overlaps.sets[0].pairs.map(({ row, of }) => [row.where, of.where])).toEqual([
      [`${config.data.source}:2`, `${config.eval[0].source}:2`],
    ]);
    expect(describeOverlaps('rows', overlaps, 'in a file')).toEqual([
      'rows: 1 rows are duplicates of a row before',
      'held.jsonl all: 1 of 2 held-out rows and 1 of rows are the same prompt and completion',
      `  ${config.eval[0].source}:2 and ${config.data.source}:2`,
    ]);
    const lost = {
      where: `${config.data.source}:7`,
      id: null,
      reason: 'without_scored_token',
      tokens: 1,
      kept: 0,
    };
    expect(JSON.parse(readFileSync(join(config.out, 'rows.jsonl'), 'utf8'))).toEqual({
      set: 'rows.jsonl all',
      ...lost,
    });
    const apart = { ...config, eval: [], data: { ...config.data, allowOverlap: false } };
    const again = await train(apart, { backend: openWasm(), overwrite: true });
    expect(again.digest).toBe(summary.digest);
  });
});

describe('the length of held-out rows', () => {
  test('is not that of training rows, but their own, or the model’s context', async () => {
    const load = (...overrides: string[]) =>
      configure('data.split=1-80', ...overrides).then((config) => loadRunData(config));
    const held = `eval={source: ${tasks}, split: 81-96}`;
    const [usual, short] = [await load(held), await load(held, 'data.max_length=90')];
    expect(short.data.counts.cut).toBeGreaterThan(0);
    expect(short.heldOut[0].examples).toEqual(usual.heldOut[0].examples);
    expect(usual.heldOut[0]).toMatchObject({ maxLength: 1024, counts: { cut: 0 } });
    const own = await load(`eval={source: ${tasks}, split: 81-96, max_length: 90}`);
    expect(own.heldOut[0].counts.cut).toBe(own.heldOut[0].lengths.filter((length) => length > 90).length);
    expect(own.heldOut[0].counts.cut).toBeGreaterThan(0);
  });

  test('must be given where rows are filled up to it', async () => {
    const entry = `eval={source: ${tasks}, loss_on: all-and-padding}`;
    await expect(configure(entry)).rejects.toThrow(ConfigError);
    await expect(configure(entry)).rejects.toThrow('max_length must be given with loss_on: all-and-padding');
  });

  test('bounds their batches: 8,192 tokens with padding, unless one row is longer', async () => {
    const lengths = fc.array(fc.integer({ min: 2, max: 9000 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 1, max: 5 }), async (all, size) => {
        const rows = all.map((length) => ({ input_ids: Array.from({ length }, () => 1) }));
        const source = temporaryFile('rows.jsonl', jsonl(...rows));
        const reading = { source, maxLength: 512, appendEos: false, lossOn: 'all' } as const;
        const { set } = await loadDataSet(reading, { vocabSize: 2 } as TokenizerLike);
        const batches = set.batches(size);
        for (const { b, t } of batches) expect(b === 1 || (b <= size && b * t <= 8192)).toBe(true);
        expect(batches.flatMap((batch) => [...batch.lengths])).toEqual(all.sort((x, y) => x - y));
        if (all.every((length) => length * size <= 8192)) {
          expect(batches).toHaveLength(Math.ceil(all.length / size));
        }
      }),
      { numRuns: 30 },
    );
  });
});

test('every row that is left out or cut is recorded with its tokens, and five are told', async () => {
  const unsolved = { task_id: 'MBJP/90', language: 'java', prompt: 'p', entry_point: 'f' };
  const held = temporaryFile('held.jsonl', `${jsonl(unsolved)}${readFileSync(java, 'utf8')}`);
  const config = await configure('data.split=1-80', `eval={source: ${held}, split: all, max_length: 110}`);
  const [set] = (await loadRunData(config)).heldOut;
  expect(set.lost).toHaveLength(set.counts.withoutSolution + set.counts.withoutScoredToken + set.counts.cut);
  expect(set.lost[0]).toEqual({
    where: `${held}:1`,
    id: 'MBJP/90',
    reason: 'without_solution',
    tokens: null,
    kept: 0,
  });
  const cut = set.lost.filter(({ reason }) => reason === 'cut');
  expect(cut.map(({ tokens }) => tokens)).toEqual(
    set.lengths.filter(
      (length, i) =>
        length > 110 &&
        set.lost.some(({ where, reason }) => reason === 'cut' && where === `${held}:${i + 2}`),
    ),
  );
  expect(cut.every(({ kept }) => kept === 110)).toBe(true);
  const lines = describeLost(set, 'runs/a');
  expect(lines).toHaveLength(7);
  expect(lines[0]).toMatch(/^held\.jsonl all: of 17 rows \d+ left out and \d+ cut$/);
  expect(lines[1]).toBe(`  ${held}:1 (MBJP/90): left out: it has no solution`);
  expect(lines[6]).toBe(`  and ${set.lost.length - 5} more, all in runs/a/rows.jsonl`);
});

describe('a plan', () => {
  test.each([
    ['lora.rank=2'],
    ['lora.targets=all-linear', 'lora.rank_pattern={up_proj: 3}', 'lora.lora_bias=true'],
    ['lora.targets=[q_proj, lm_head]', 'lora.dora=true'],
    ['lora.targets=[embed_tokens]', 'lora.modules_to_save=[model.norm, layers.1.mlp]'],
    ['lora.trainable_token_indices={lm_head: [5, 7]}', 'lora.init=pissa'],
    [`adapter=${openPeftCase('dora').dir}`],
  ])('has the numbers of the run with %s', async (...overrides) => {
    const config = await ofIds('data.allow_overlap=true', ...overrides);
    const plan = await planRun(config);
    expect(existsSync(config.out)).toBe(false);
    const run = await prepare(config, { backend: openWasm() }, lockRun(config, {}));
    if ('status' in run) throw new Error('not a fresh run');
    expect(plan.trainableParameters).toBe(run.info.trainableParameters);
    expect(plan).toMatchObject({ updates: run.plan.steps, overlaps: readManifest(config.out).overlaps });
    const { refusal, ...again } = await planRun(config);
    expect(refusal?.message).toContain('holds a run');
    expect({ ...again, refusal: null }).toEqual(plan);
    await expect(planRun(config, { overwrite: true })).resolves.toEqual(plan);
  });

  test('has the tokens and learning rates of the run', async () => {
    const config = await ofIds(
      ...[
        'data.allow_overlap=true',
        'train={epochs: 3, batch_size: 4, max_steps: 5}',
        'schedule.warmup_steps=2',
      ],
    );
    const lines: { lr: number; tokens: number }[] = [];
    const plan = await planRun(config);
    await train(config, { backend: openWasm(), callbacks: [{ onLine: (_, line) => void lines.push(line) }] });
    expect(plan.tokens).toBe(lines.reduce((sum, { tokens }) => sum + tokens, 0));
    expect(plan.schedule).toEqual([1, 3, 5].map((update) => ({ update, lr: lines[update - 1].lr })));
    expect(plan).toMatchObject({ updatesAnEpoch: 2, tokensAnEpoch: 54, epochs: 2 + 4 / 6 });
  });

  test.each([
    ['a wrong target', ['lora.targets=[no_proj]'], 'matches no linear layer'],
    ['an odd rank', ['lora.init=orthogonal', 'lora.rank=3'], 'needs an even rank'],
    ['an unknown module', ['lora.modules_to_save=[nrom]'], 'is no module of the model'],
  ])('of a run with %s is refused as the run is', async (_, overrides, message) => {
    const config = await ofIds('data.allow_overlap=true', ...overrides);
    await expect(planRun(config)).rejects.toThrow(message);
    await expect(prepare(config, { backend: openWasm() }, lockRun(config, {}))).rejects.toThrow(message);
  });

  test('of a run with rows in common has them, and what the run is refused with', async () => {
    const config = await ofIds('data.allow_overlap=false');
    const { refusal, overlaps } = await planRun(config);
    expect(overlaps.sets[0].same).toEqual({ rows: 1, of: 1 });
    const refused = expect(prepare(config, { backend: openWasm() }, lockRun(config, {}))).rejects;
    await refused.toThrow(refusal!.message);
  });
});

test('a histogram has every length once, in bins that follow on each other', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1 }), (lengths) => {
      const { bins, least, median, p95, most } = lengthHistogram(lengths);
      for (const [i, { from, to, rows }] of bins.entries()) {
        expect(rows).toBe(lengths.filter((length) => from <= length && length <= to).length);
        if (i > 0) expect(from).toBe(bins[i - 1].to + 1);
      }
      expect(bins.reduce((sum, { rows }) => sum + rows, 0)).toBe(lengths.length);
      expect([bins[0].rows, bins[bins.length - 1].rows].includes(0)).toBe(false);
      expect([least, most]).toEqual([Math.min(...lengths), Math.max(...lengths)]);
      const upTo = (length: number) => lengths.filter((one) => one <= length).length / lengths.length;
      for (const [value, share] of [
        [median, 0.5],
        [p95, 0.95],
      ]) {
        expect(upTo(value)).toBeGreaterThanOrEqual(share);
        expect(upTo(value - 1)).toBeLessThan(share);
      }
    }),
  );
});
