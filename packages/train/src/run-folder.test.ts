import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ConfigError, DataError, digestFile, readProvenance } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { overlapRule } from '@flex/datasets';
import { expect, test } from 'vitest';
import { loadConfig, printConfig, type TrainConfig } from './config.ts';
import { lockRun } from './lock-run.ts';
import { readMetrics } from './metrics-log.ts';
import { holdsRun, openRunFolder, type RunStart, readManifest } from './run-folder.ts';
import { partModule } from './testing/part-module.ts';

const fresh = { resume: false, overwrite: false };

/** A configuration of a run in a new folder, with a model and data of a few bytes. */
function configure(overrides: readonly string[] = [], folder = temporaryFolder()): Promise<TrainConfig> {
  mkdirSync(join(folder, 'model'), { recursive: true });
  if (!existsSync(join(folder, 'data.jsonl'))) writeFileSync(join(folder, 'data.jsonl'), '{"text": "a"}\n');
  writeFileSync(join(folder, 'model', 'model.safetensors'), 'weights');
  const paths = [`model=${folder}/model`, `data.source=${folder}/data.jsonl`, `out=${folder}/out`];
  return loadConfig({ overrides: [...paths, ...overrides] });
}

function facts(config: TrainConfig, done = 0): RunStart {
  const part = { name: 'part', options: { strength: 2 } };
  const data = {
    name: 'data all',
    source: 'd',
    split: 'all',
    examples: [],
    counts: {
      selected: 5,
      withoutSolution: 1,
      withoutScoredToken: 2,
      examples: 2,
      cut: 1,
      tokens: 9,
      scoredTokens: 4,
    },
    longest: 5,
    uncut: 0,
    maxLength: 512,
    lengths: [5, 4],
    lost: [{ where: 'd:1', id: null, reason: 'cut' as const, tokens: 9, kept: 5 }],
    notes: ['one row'],
    batches: () => [],
  };
  return {
    config,
    backend: { description: 'an adapter' },
    data,
    heldOut: [],
    overlaps: { rule: overlapRule, rows: 2, duplicates: 0, sets: [] },
    lora: config.lora,
    quantized: { dtype: 'nf4', errors: { 'model.layers.0.mlp.up_proj': 0.0921 } },
    optimizer: part,
    regularizers: [{ ...part, lambda: 0.5, enters: 'loss' }],
    done,
    length: { steps: 2, extended: [] },
    recomputed: 0,
  };
}

/** Runs for a few updates. */
async function run(config: TrainConfig, options = fresh, [done, steps] = [0, 2]): Promise<void> {
  const lock = lockRun(config, options);
  const folder = await openRunFolder(config, options);
  folder.start(facts(config, done));
  for (let step = done + 1; step <= steps; step++) folder.appendMetrics({ step });
  folder.finish({ steps });
  lock.release();
}

test('a run leaves its configuration, manifest, metrics and summary', async () => {
  const config = await configure();
  await run(config);
  expect(readdirSync(config.out).sort()).toEqual([
    'config.yaml',
    'manifest.json',
    'metrics.jsonl',
    'rows.jsonl',
    'summary.json',
  ]);
  expect(readFileSync(join(config.out, 'config.yaml'), 'utf8')).toBe(printConfig(config));
  expect(readMetrics(join(config.out, 'metrics.jsonl'))).toEqual([{ step: 1 }, { step: 2 }]);
  expect(JSON.parse(readFileSync(join(config.out, 'summary.json'), 'utf8'))).toEqual({ steps: 2 });
  expect(readFileSync(join(config.out, 'rows.jsonl'), 'utf8')).toBe(
    '{"set":"data all","where":"d:1","id":null,"reason":"cut","tokens":9,"kept":5}\n',
  );
});

test('a manifest tells what was read, with digests, and what was chosen', async () => {
  const config = await configure(['preset=paper', 'train.seed=5', 'regularizer.order=permuted']);
  await run(config);
  expect(readManifest(config.out)).toMatchObject({
    adapter: 'an adapter',
    seeds: { 'train.seed': 5, 'regularizer.0.permutation_seed': 0 },
    model: [
      {
        path: join(config.model, 'model.safetensors'),
        bytes: 7,
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    ],
    data: [{ path: config.data.source }],
    protocol: {
      preset: 'paper',
      data: { split: 'all', examples: 2, rows: 0, without_solution: 1, cut: 1, loss_on: 'all' },
      regularizers: [{ name: 'part', options: { strength: 2 }, lambda: 0.5, enters: 'loss' }],
    },
  });
});

test('the data held out has its digest in the manifest, once', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'held.jsonl'), '{"text": "b"}\n');
  const entry = `{source: ${folder}/held.jsonl}`;
  const config = await configure([`eval=[${entry}, ${entry}, {source: ${folder}/data.jsonl}]`], folder);
  await run(config);
  expect(readManifest(config.out).data.map(({ path }) => path)).toEqual([
    join(folder, 'data.jsonl'),
    join(folder, 'held.jsonl'),
  ]);
});

test('a folder in which a link bears the name of what a run writes is refused; one that is a link is taken', async () => {
  const config = await configure();
  const outside = temporaryFolder();
  symlinkSync(outside, config.out);
  await run(config);
  expect(existsSync(join(outside, 'summary.json'))).toBe(true);
  symlinkSync(join(outside, 'nowhere'), join(outside, 'checkpoints'));
  for (const options of [fresh, { resume: false, overwrite: true }, { resume: true, overwrite: false }]) {
    expect(() => lockRun(config, options)).toThrow(/checkpoints: is a link, and nothing is written/);
  }
});

test('nothing is written before the run starts', async () => {
  const config = await configure();
  await openRunFolder(config, fresh);
  expect(existsSync(config.out)).toBe(false);
});

test('a folder that holds a run is refused, unless it is to be replaced or to go on', async () => {
  const config = await configure();
  await run(config);
  expect(() => lockRun(config, fresh)).toThrow(ConfigError);
  expect(() => lockRun(config, fresh)).toThrow(/out: holds a run; take another folder as out/);
  lockRun(config, { resume: true }).release();
  lockRun(config, { overwrite: true }).release();
});

test('what is replaced is what a run writes, and nothing else', async () => {
  const config = await configure();
  await run(config);
  mkdirSync(join(config.out, 'checkpoints', 'step-1'), { recursive: true });
  writeFileSync(join(config.out, 'notes.txt'), 'mine');
  await run(config, { resume: false, overwrite: true }, [0, 1]);
  expect(existsSync(join(config.out, 'checkpoints'))).toBe(false);
  expect(readFileSync(join(config.out, 'notes.txt'), 'utf8')).toBe('mine');
  expect(readMetrics(join(config.out, 'metrics.jsonl'))).toEqual([{ step: 1 }]);
});

test('a file of the user’s that bears the name of a run’s is never replaced', async () => {
  const config = await configure();
  mkdirSync(config.out);
  for (const name of ['config.yaml', 'manifest.json']) {
    rmSync(join(config.out, 'config.yaml'), { force: true });
    writeFileSync(join(config.out, name), '{"model": "mine"}');
    expect(holdsRun(config.out)).toBe(false);
    for (const options of [fresh, { resume: false, overwrite: true }, { resume: true, overwrite: false }]) {
      expect(() => lockRun(config, options)).toThrow(/was written by no run and is in the way/);
      expect(readdirSync(config.out)).toEqual([name]);
    }
  }
});

test('a run that goes on keeps its manifest, and its metrics up to where it goes on', async () => {
  const config = await configure();
  await run(config, fresh, [0, 5]);
  const before = readManifest(config.out);
  await run(config, { resume: true, overwrite: false }, [3, 4]);
  expect(readManifest(config.out)).toMatchObject({
    started: before.started,
    resumed: [{ at: expect.any(String), after: 3 }],
    protocol: before.protocol,
    provenance: { digest: before.provenance.digest },
  });
  expect(readMetrics(join(config.out, 'metrics.jsonl')).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
});

test('what a manifest says more than its provenance is taken from it, and a summary has the same', async () => {
  const config = await configure();
  const folder = await openRunFolder(config, fresh);
  expect(() => folder.provenance()).toThrow(/has its provenance from start on/);
  folder.start(facts(config));
  const { provenance, ...manifest } = readManifest(config.out);
  const { code, started, machine, model, data, seeds, modules } = provenance;
  expect(manifest).toMatchObject({
    started,
    machine,
    seeds,
    modules,
    adapter: provenance.device,
    resumed: [],
  });
  expect(manifest).toMatchObject({ versions: code.versions, commit: code.commit });
  expect(manifest).toMatchObject({ model: model?.files, data: data[0].files });
  const ended = folder.provenance();
  expect(ended).toEqual({ ...provenance, finished: expect.any(String) });
  expect(readProvenance(JSON.parse(JSON.stringify(ended)), 'summary.json')).toEqual(ended);
});

test('a run that goes on with other options says so, and what was otherwise before', async () => {
  const folder = temporaryFolder();
  const config = await configure([], folder);
  await run(config);
  const before = readManifest(config.out).provenance;
  const longer = await configure(['train.epochs=9'], folder);
  await run(longer, { resume: true, overwrite: false }, [1, 2]);
  const { provenance, protocol } = readManifest(config.out);
  expect(provenance.digest).not.toBe(before.digest);
  expect(provenance.resumed[0].until).toEqual({ command: before.command, options: before.options });
  expect(protocol.train).toMatchObject({ epochs: 9 });
});

test('a run whose manifest has no provenance, or a changed one, does not go on', async () => {
  const config = await configure();
  await run(config);
  const { provenance, ...manifest } = readManifest(config.out);
  const path = join(config.out, 'manifest.json');
  for (const [changed, message] of [
    [undefined, /out: its run was begun by a flex that did not record provenance; take another out/],
    [{ ...provenance, options: provenance.digest }, /manifest.json: provenance.digest: does not fit/],
  ] as const) {
    writeFileSync(path, JSON.stringify({ ...manifest, provenance: changed }));
    await expect(openRunFolder(config, { resume: true })).rejects.toThrow(message);
  }
});

test('a model that changed after it was digested is refused before anything is written', async () => {
  const config = await configure();
  const folder = await openRunFolder(config, fresh);
  writeFileSync(join(config.model, 'model.safetensors'), 'other weights');
  expect(() => folder.start(facts(config))).toThrow(/model.safetensors: was changed while it was read/);
  expect(existsSync(config.out)).toBe(false);
});

test('the digest of a run follows from what decides its numbers', async () => {
  const folder = temporaryFolder();
  const digest = async (...overrides: string[]) =>
    (await openRunFolder(await configure(overrides, folder), fresh)).runDigest;
  const first = await digest();
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  const unlike = ['save_every=1', 'eval_every=0', 'spectrum_every=1', 'checkpoint_activations=true'];
  expect(await digest(...unlike.map((key) => `train.${key}`), `out=${folder}/else`)).toBe(first);
  expect(await digest(`eval={source: ${folder}/data.jsonl}`)).toBe(first);
  for (const other of [
    'train.seed=1',
    'optimizer.lr=1',
    'data.max_length=8',
    'regularizer=none',
    'dtype=f32',
  ]) {
    expect(await digest(other)).not.toBe(first);
  }
  writeFileSync(join(folder, 'data.jsonl'), '{"text": "b"}\n');
  expect(await digest()).not.toBe(first);
});

test("a part's module decides the run by its name and bytes, wherever it lies, and is in the manifest", async () => {
  const folder = temporaryFolder();
  const text = (value: number) => `{ name: 'mine', schema: z.strictObject({}), make: () => ${value} }`;
  const [one, same, other] = [partModule(text(1)), partModule(text(1)), partModule(text(2))];
  const digestOf = async (...overrides: string[]) =>
    (await openRunFolder(await configure(overrides, folder), fresh)).runDigest;
  for (const key of ['regularizer', 'optimizer', 'schedule', 'data.format']) {
    const first = await digestOf(`${key}={use: ${one}}`);
    expect(await digestOf(`${key}={use: ${same}}`)).toBe(first);
    expect(await digestOf(`${key}={use: ${other}}`)).not.toBe(first);
    writeFileSync(one, `${readFileSync(one, 'utf8')}\n`);
    expect(await digestOf(`${key}={use: ${one}}`)).not.toBe(first);
    writeFileSync(one, readFileSync(same));
  }
  expect(await digestOf(`callbacks={use: ${other}}`)).toBe(await digestOf());
  const used = [`regularizer={use: ${one}}`, `callbacks=[{use: ${other}}, {use: ${one}}]`];
  const config = await configure(used, folder);
  await run(config);
  expect(readManifest(config.out).modules).toEqual([
    { part: 'mine', ...digestFile(one) },
    { part: 'mine', ...digestFile(other) },
  ]);
});

test('metrics before the start and the manifest of no run are refused', async () => {
  const config = await configure();
  const folder = await openRunFolder(config, fresh);
  expect(() => folder.appendMetrics({ step: 1 })).toThrow(/between start and finish/);
  expect(() => readManifest(config.out)).toThrow(DataError);
});

test.runIf(process.platform === 'linux')('a folder that nobody can make is refused', async () => {
  const config = await configure(['out=/proc/flex/run']);
  expect(() => lockRun(config, fresh)).toThrow(/^\/proc\/flex\/run: cannot be a folder of results: .*ENOENT/);
});

test('a run that is being written is refused to every other one, and so is a folder that is not its own', async () => {
  const config = await configure();
  await run(config);
  const lock = lockRun(config, { resume: true });
  for (const options of [fresh, { resume: true }, { overwrite: true }]) {
    expect(() => lockRun(config, options)).toThrow(/out: is being written into by process \d+/);
  }
  lock.release();
  for (const out of [config.model, join(config.model, 'run'), join(config.model, '..')]) {
    expect(() => lockRun({ ...config, out }, { overwrite: true })).toThrow(
      /^out: .* the folder of the model/,
    );
  }
  const continued = { ...config, adapter: join(config.out, 'adapter'), lora: {} };
  expect(() => lockRun(continued, { overwrite: true })).toThrow(/^out: .* holds the folder of the adapter/);
});
