import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type PartOf, respell } from '@flex/base';
import { checkPart, temporaryFolder } from '@flex/base/testing';
import { type Backend, ones, openReference } from '@flex/tensor';
import { describeEachBackend, deviceBackends } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import {
  type Callback,
  loadConfig,
  partKinds,
  type RunContext,
  type StepMetrics,
  type TrainOptions,
  train,
} from './index.ts';
import { partModule } from './testing/part-module.ts';

const assets = join(import.meta.dirname, '../../cli/assets');
const tasks = join(assets, 'quickstart/tasks.jsonl');
const mine = (name: string) => join(import.meta.dirname, 'testing/parts', `${name}.ts`);
const earlyStopping = join(import.meta.dirname, '../../../recipes/early-stopping.ts');
const devices = deviceBackends.filter(({ label }) => label === 'wasm');

test('every built-in part keeps the contract of parts', async () => {
  const reference = openReference();
  const matrix = () => ones(reference, [2, 2]);
  const contexts: Record<string, unknown> = {
    regularizer: { seed: 0, start: () => new Map([['m', { a: matrix(), b: matrix() }]]) },
    schedule: { totalSteps: 3 },
  };
  const all = Object.entries(partKinds).flatMap(([kind, { parts }]) =>
    parts.map((part) => [kind, part] as const),
  );
  expect(all.length).toBeGreaterThanOrEqual(18);
  for (const [kind, part] of all) {
    await checkPart(part as PartOf<unknown>, { context: contexts[kind] });
    for (const key of Object.keys((part.schema as z.ZodObject).shape))
      expect(respell(respell(key))).toBe(key);
  }
});

const fromHere = (file: string) => relative(process.cwd(), file);

/** What a run fails with, but for the file of its part, which stands once in it. */
async function withoutFile(failed: Promise<unknown>, module: string): Promise<string> {
  const { message } = await failed.then(
    () => new Error('nothing failed'),
    (error: Error) => error,
  );
  const file = ` (${module.startsWith(process.cwd()) ? fromHere(module) : module})`;
  expect(message.split(file).length).toBe(2);
  return message.replace(file, '');
}

describeEachBackend((backend: () => Backend) => {
  /** Trains the bundled model for three updates in a folder, on six short tasks. */
  async function run(
    out: string,
    overrides: readonly string[] = [],
    { callbacks = [], ...options }: Partial<TrainOptions> = {},
  ) {
    const config = await loadConfig({
      overrides: [
        `model=${join(assets, 'micro')}`,
        `data={source: ${tasks}, split: 1-6, max_length: 72}`,
        `out=${out}`,
        'train={batch_size: 2, epochs: 1, save_every: 0, eval_every: 1}',
        'regularizer=none',
        ...overrides,
      ],
    });
    const lines: StepMetrics[] = [];
    const record: Callback = { onLine: (_, line) => void lines.push(line) };
    const summary = await train(config, {
      backend: backend(),
      callbacks: [record, ...callbacks],
      ...options,
    });
    return { config, summary, lines };
  }
  const readLines = (out: string) =>
    readFileSync(join(out, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as StepMetrics);
  const heldOut = `eval={source: ${tasks}, split: '81'}`;

  test("a stranger's regularizer, optimizer, schedule and data format do what built-in ones do", async () => {
    const rows = join(temporaryFolder(), 'rows.jsonl');
    writeFileSync(rows, '{"q": "one", "a": "1"}\n{"q": "two", "a": "2"}\n'.repeat(3));
    const out = temporaryFolder();
    const { lines } = await run(join(out, 'r'), [
      `data={source: ${rows}, split: all, format: {use: ${mine('question-answer')}, ask_with: 'Please: '}}`,
      `regularizer={use: ${mine('drift')}, lambda: 0.5}`,
      `optimizer={use: ${mine('sgd')}, lr: 0.2}`,
      `schedule={use: ${mine('stepwise')}, halvings: 2}`,
    ]);
    expect(lines.map(({ lr }) => lr)).toEqual([0.2, 0.1, 0.05]);
    expect(lines[0].penalty).toBe(0);
    expect(lines[2].penalty).toBeGreaterThan(0);
    const manifest = JSON.parse(readFileSync(join(out, 'r/manifest.json'), 'utf8'));
    expect(manifest.seeds).toEqual({ 'train.seed': 0, 'regularizer.0.drift_seed': 7 });
    expect(manifest.protocol).toMatchObject({
      data: { format: { use: mine('question-answer'), ask_with: 'Please: ' }, examples: 6 },
      optimizer: { name: 'plain-sgd', options: { lr: 0.2 } },
      regularizers: [{ name: 'drift', options: { order: 2, look_ahead: 0.5 }, lambda: 0.5, enters: 'loss' }],
      schedule: { use: mine('stepwise'), halvings: 2 },
    });
  });

  test('a value that is not of its kind is refused before anything is written', async () => {
    const out = join(temporaryFolder(), 'r');
    await expect(run(out, [`regularizer={use: ${mine('sgd')}}`])).rejects.toThrow(
      `regularizer "plain-sgd" (${fromHere(mine('sgd'))}): its make must give an object with penalty()`,
    );
    await expect(run(out, [`optimizer.use=${mine('drift')}`])).rejects.toThrow(
      `optimizer "drift" (${fromHere(mine('drift'))}): Cannot destructure`,
    );
    expect(existsSync(out)).toBe(false);
  });

  /** A part whose `make` is the text, in a module of its own. */
  const partOf = (make: string) =>
    partModule(`{ name: 'own', schema: z.strictObject({}), make: () => (${make}) }`);

  test.each([
    [mine('sgd'), 'callback "plain-sgd": a callback has no init(); did you mean onLine()?'],
    ['{ onUpdat() {} }', 'callback "own": a callback has no onUpdat(); did you mean onUpdate()?'],
    ['new (class { onEnd() {} onlin() {} })()', 'a callback has no onlin(); did you mean onLine()?'],
    ['{}', 'callback "own": its make must give an object with onStart, onUpdate, onLine, onEval, onEnd'],
  ])('a callback that has none of the events, or another method, is refused: %s', async (given, message) => {
    const module = given.endsWith('.ts') ? given : partOf(given);
    const failed = run(join(temporaryFolder(), 'r'), [`callbacks={use: ${module}}`]);
    expect(await withoutFile(failed, module)).toContain(message);
  });

  test.each([
    ['regularizer', '{ penalty: () => null.x }', /^regularizer "own", update 1: Cannot read prop/],
    [
      'regularizer',
      '{ penalty: () => 3 }',
      /^regularizer "own", update 1: penalty\(\) must give a tensor of shape \[\], got 3$/,
    ],
    [
      'regularizer',
      '{ penalty: (adapters) => adapters.values().next().value.a }',
      /^regularizer "own", update 1: penalty\(\) must give a tensor of shape \[\], got shape \[\d+, \d+\]$/,
    ],
    ['regularizer', '{ penalty() {} }', /^regularizer "own", update 1: .* of shape \[\], got undefined$/],
    ['optimizer', '{ lr: 1, init: () => ({}), update() {} }', /^optimizer "own", init: must give a Map/],
    [
      'optimizer',
      '{ lr: 1, init: () => new Map(), update: () => null.x }',
      /^optimizer "own", update 1: Cannot/,
    ],
    ['optimizer', '{ lr: 1, init: () => new Map(), update() {} }', /update 1: must give \{ params, state \}/],
    [
      'optimizer',
      '{ lr: 1, init: () => new Map(), update: (g, state) => ({ params: new Map(), state }) }',
      /^optimizer "own", update 1: params must have model\S+ of shape \[\d+, \d+\], got none$/,
    ],
    [
      'optimizer',
      '{ lr: 1, init: (p) => new Map(p), update: (g, state, params) => ({ params, state: new Map() }) }',
      /^optimizer "own", update 1: state must have model\S+ of shape \[\d+, \d+\], got none$/,
    ],
    [
      'optimizer',
      '{ lr: 1, init: () => new Map(), update: (g, s, params) => ({ params, state: new Map(params) }) }',
      /^optimizer "own", update 1: state has model\S+, which was not there before$/,
    ],
    ['schedule', '(i) => 1 / (i - 1)', /^schedule "own", update 2: must give a finite number, got Infinity$/],
    ['schedule', '(i) => i.x.y', /^schedule "own", update 1: Cannot read prop/],
    [
      'format',
      '{ name: "f", shape: "{}", matches: () => true, read: () => null.x }',
      /^format "own": .*Cannot read/,
    ],
    ['callbacks', '{ onLine: () => null.x }', /^callback "own", onLine: Cannot read prop/],
  ])(
    'what goes wrong in the code of a part names it, its file and the update: %s %s',
    async (kind, make, message) => {
      const module = partOf(make);
      const part = kind === 'format' ? 'data.format' : kind;
      const failed = run(join(temporaryFolder(), 'r'), [`${part}={use: ${module}}`]);
      expect(await withoutFile(failed, module)).toMatch(message);
    },
  );

  test('a module that was edited since is refused when the run goes on', async () => {
    const out = join(temporaryFolder(), 'r');
    const module = partModule("{ name: 's', schema: z.strictObject({}), make: () => () => 1 }");
    const interrupt = new AbortController();
    const overrides = [`schedule={use: ${module}}`];
    await run(out, overrides, {
      signal: interrupt.signal,
      callbacks: [{ onUpdate: () => interrupt.abort() }],
    });
    writeFileSync(module, `${readFileSync(module, 'utf8')}// edited\n`);
    await expect(run(out, overrides, { resume: true })).rejects.toThrow(
      /r: its run is one with another configuration, module, model or data; take another out/,
    );
  });

  test('callbacks see a run from its start to its end', async () => {
    const out = join(temporaryFolder(), 'r');
    const seen: string[] = [];
    const note = (event: string, { step, metrics, history, adapters }: RunContext) => {
      expect([...adapters.values()].every(({ a, b }) => !a.disposed && !b.disposed)).toBe(true);
      seen.push(`${event} ${step} ${metrics?.step ?? '-'} ${history.length}`);
    };
    await run(out, [heldOut, 'train.max_steps=2', 'train.eval_every=2'], {
      callbacks: [
        {
          onStart: (context) => note('start', context),
          onUpdate: (context) => note('update', context),
          onLine: (context) => note('line', context),
          onEval: (context) => note('eval', context),
          onEnd: (context, { status }) => note(status, context),
        },
      ],
    });
    expect(seen).toEqual([
      'start 0 - 0',
      'eval 0 - 0',
      'update 1 1 0',
      'line 1 1 1',
      'eval 2 2 1',
      'update 2 2 1',
      'line 2 2 2',
      'done 2 2 2',
    ]);
  });

  test("a callback's columns are in the lines, and one that is there already is refused by its name", async () => {
    const folder = temporaryFolder();
    const log = (column: string) => {
      const file = join(folder, `${column}.mjs`);
      const schema = `import { z } from ${JSON.stringify(import.meta.resolve('zod'))};`;
      const make = `make: () => ({ onUpdate: ({ log, step }) => log({ ${column}: step / 2 }) })`;
      writeFileSync(
        file,
        `${schema}\nexport default { name: 'halves', schema: z.strictObject({}), ${make} };`,
      );
      return `callbacks={use: ${file}}`;
    };
    const { lines } = await run(join(folder, 'r'), [log('half')]);
    expect(lines.map(({ half }) => half)).toEqual([0.5, 1, 1.5]);
    expect(readLines(join(folder, 'r'))).toEqual(lines);
    await expect(run(join(folder, 's'), [log('loss')])).rejects.toThrow(
      /^callback "halves" \(\S+loss\.mjs\), onUpdate: log: the column loss is the run's own$/,
    );
  });

  test('a callback stops a run, whose last losses are of the adapter it leaves', async () => {
    const out = join(temporaryFolder(), 'r');
    const patience = `callbacks=[{use: ${earlyStopping}, patience: 1}]`;
    const { summary, lines } = await run(out, [heldOut, patience, 'train.max_steps=9', 'optimizer.lr=1']);
    expect(summary).toMatchObject({ status: 'done', stopped: 'no lower loss in 1 evaluations' });
    expect(summary.steps).toBeLessThan(9);
    const [baseline, ...written] = readLines(out);
    expect(Object.keys(baseline)).toEqual(['step', 'epoch', 'eval']);
    expect(written.map(({ lowest_loss }) => lowest_loss)).toEqual(
      lines.map(({ lowest_loss }) => lowest_loss),
    );
    const now = await run(join(out, 'now'), [heldOut, 'train.eval_every=0'], {
      callbacks: [{ onUpdate: ({ stop }) => stop('enough') }],
    });
    expect(now.summary).toMatchObject({ steps: 1, stopped: 'enough' });
    const [{ before, after }] = Object.values(now.summary.eval);
    expect(after).not.toBe(before);
    expect(Object.values(now.lines[0].eval ?? {})).toEqual([after]);
    const late = run(join(out, 'late'), [], { callbacks: [{ onLine: ({ stop }) => stop('enough') }] });
    await expect(late).rejects.toThrow('stop: the line is written');
  });

  test('a run that goes on tells its callbacks the lines of before', async () => {
    const out = join(temporaryFolder(), 'r');
    const interrupt = new AbortController();
    await run(out, ['train.max_steps=3'], {
      signal: interrupt.signal,
      callbacks: [{ onUpdate: () => interrupt.abort() }],
    });
    const before: number[][] = [];
    await run(out, ['train.max_steps=3'], {
      resume: true,
      callbacks: [{ onUpdate: ({ history }) => void before.push(history.map(({ step }) => step)) }],
    });
    expect(before).toEqual([[1], [1, 2]]);
  });
}, devices);
