import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, DataError, isLockFile } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { openWasm } from '@flex/tensor';
import fc from 'fast-check';
import { afterAll, describe, expect, test, vi } from 'vitest';
import {
  type Callback,
  loadConfig,
  planRun,
  readManifest,
  readMetrics,
  type StepMetrics,
  type TrainOptions,
  train,
} from './index.ts';
import { recordOf, tinyTraining } from './testing/tiny-training.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';

/**
 * The disk of this process: from write `failsAt` on, counted from 1, it refuses: `full`, what needs room;
 * `short` of it, the same but once; `gone`, everything, which leaves what kill -9 leaves and a disk that has
 * become read-only. Of the bytes of the first write that it refuses it takes half.
 */
const disk = vi.hoisted(() => ({
  kind: 'full' as 'full' | 'short' | 'gone',
  writes: 0,
  failsAt: Infinity,
  refused: 0,
}));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  type Call = (...args: unknown[]) => unknown;
  const refuse = (name: string) => {
    disk.refused++;
    const [code, words] =
      disk.kind !== 'gone' ? ['ENOSPC', 'no space left on device'] : ['EROFS', 'read-only file system'];
    throw Object.assign(new Error(`${code}: ${words}, ${name}`), { code, syscall: name });
  };
  const writing = (name: string, needsRoom: boolean, half?: Call): Call => {
    // No power is cut here, so that nothing need wait for the disk.
    const call = name === 'fsyncSync' ? () => {} : (fs as unknown as Record<string, Call>)[name];
    return (...args) => {
      if (name === 'openSync' && !writes(args[1])) return call(...args);
      disk.writes++;
      if (disk.writes < disk.failsAt || (disk.kind !== 'gone' && !needsRoom)) return call(...args);
      if (disk.kind === 'short') disk.failsAt = Infinity;
      if (disk.writes === disk.failsAt || disk.kind === 'short') half?.(...args);
      return refuse(name.replace('Sync', ''));
    };
  };
  const writes = (flags: unknown) =>
    typeof flags === 'number'
      ? (flags & (fs.constants.O_WRONLY | fs.constants.O_RDWR)) !== 0
      : /[wa+]/.test(String(flags ?? 'r'));
  const halfOf: Call = (file, bytes, offset, length) =>
    fs.writeSync(file as number, bytes as Buffer, offset as number, Math.floor(Number(length) / 2));
  return {
    ...fs,
    writeSync: writing('writeSync', true, halfOf),
    ...Object.fromEntries(
      ['openSync', 'mkdirSync', 'renameSync', 'fsyncSync', 'writeFileSync', 'linkSync'].map((name) => [
        name,
        writing(name, true),
      ]),
    ),
    ...Object.fromEntries(
      ['rmSync', 'rmdirSync', 'ftruncateSync', 'truncateSync'].map((name) => [name, writing(name, false)]),
    ),
  };
});

const backend = openWasm({ threads: 1 });
afterAll(() => backend.close());

/** Runs of one configuration in folders of their own. */
function runs(...overrides: string[]) {
  const folder = temporaryFolder();
  const common = tinyTraining(folder);
  const outOf = (name: string) => join(folder, name);
  const configOf = (name: string, more: readonly string[]) =>
    loadConfig({ overrides: [...common, ...overrides, `out=${outOf(name)}`, ...more] });
  return {
    folder,
    outOf,
    recordOf: (name: string) => recordOf(outOf(name)),
    run: async (name: string, more: readonly string[] = [], options: Partial<TrainOptions> = {}) =>
      train(await configOf(name, more), { backend, ...options }),
    plan: async (name: string, more: readonly string[]) =>
      planRun(await configOf(name, more), { resume: true }),
  };
}

/** Makes what a run has left that of a process that is gone; one that had not ended left more. */
function leaveAsAnother(out: string): void {
  if (!existsSync(out)) return;
  if (!/"done"/.test(endingOf(out))) writeFileSync(join(out, '.summary.json.1.partial'), '');
  for (const name of readdirSync(out).filter(isLockFile)) rmSync(join(out, name));
}

/** The text of a run's summary; empty where there is none. */
function endingOf(out: string): string {
  const file = join(out, 'summary.json');
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** A run's updates, and how many of its writes the disk fails at, drawn at random; or at each of them. */
const faults: readonly (readonly [updates: number, writes: number])[] = isLong
  ? [
      [7, Infinity],
      [40, 25],
    ]
  : [[7, 12]];

describe.each(['full', 'short', 'gone'] as const)('a disk that is %s at a write', (kind) => {
  test.each(faults)(
    'ends a run of %i updates in one line; with room again it goes on to the bytes of an undisturbed one',
    async (updates, writes) => {
      const { run, recordOf, outOf } = runs(`train.max_steps=${updates}`);
      Object.assign(disk, { kind, writes: 0, failsAt: Infinity });
      expect(await run('whole')).toMatchObject({ status: 'done' });
      const all = disk.writes;
      const whole = recordOf('whole');
      const every = Array.from({ length: all }, (_, i) => i + 1);
      for (const failsAt of writes > all
        ? every
        : fc.sample(fc.subarray(every, { maxLength: writes, minLength: writes }), 1)[0]) {
        const name = `${failsAt}`;
        Object.assign(disk, { writes: 0, failsAt, refused: 0 });
        const error = await run(name).then(
          () => null,
          (error: Error) => error,
        );
        disk.failsAt = Infinity;
        leaveAsAnother(outOf(name));
        // What a full disk still takes, such as the removal of the lock, is no failure.
        const expected = disk.refused > 0 ? /^[^\n]*(ENOSPC|EROFS)[^\n]*$/ : /^$/;
        expect(error?.message ?? '', `write ${failsAt} of ${all}`).toMatch(expected);
        expect(await run(name, [], { resume: true })).toMatchObject({ status: 'done' });
        expect(recordOf(name), `write ${failsAt} of ${all}`).toEqual(whole);
      }
    },
  );
});

/** The name of the held-out data. */
const held = 'held.jsonl all';

const ids = (steps: readonly { readonly step: number }[]) => steps.map(({ step }) => step);

/** Ends a run after so many updates, as a signal does. */
function stopAfter(updates: number): Partial<TrainOptions> {
  const interrupt = new AbortController();
  const onLine: Callback['onLine'] = ({ step }) => void (step >= updates && interrupt.abort());
  return { signal: interrupt.signal, callbacks: [{ onLine }] };
}

describe('a run that goes on', () => {
  test.each([1, 2, 3, 5, 6])('after update %i has the record of one that never stopped', async (updates) => {
    const { run, recordOf, outOf } = runs('train.max_steps=7');
    const whole = await run('whole');
    const first = await run('parts', [], stopAfter(updates));
    expect(first).toMatchObject({ status: 'interrupted', steps: updates, eval: {} });
    const second = await run('parts', [], { resume: true });
    expect(recordOf('parts')).toEqual(recordOf('whole'));
    const lines = readMetrics(join(outOf('parts'), 'metrics.jsonl')) as StepMetrics[];
    expect(ids(lines)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(lines[0]).toEqual({ step: 0, epoch: 0, eval: { [held]: expect.any(Number) } });
    expect(second.eval[held]).toEqual({ before: lines[0].eval?.[held], after: lines[7].eval?.[held] });
    expect(second.loss).toEqual({ first: lines[1].loss, last: lines[7].loss });
    expect(second.tokens).toBe(lines.slice(1).reduce((sum, { tokens }) => sum + tokens, 0));
    expect(second.seconds).toBeCloseTo(lines.slice(1).reduce((sum, { seconds }) => sum + seconds, 0));
    expect(whole.eval).toEqual(second.eval);
  });

  test('is refused where its summary is no JSON, with the file in front', async () => {
    const { run, outOf } = runs('train.max_steps=1');
    await run('r');
    const file = join(outOf('r'), 'summary.json');
    writeFileSync(file, '{');
    const again = run('r', [], { resume: true });
    await expect(again).rejects.toThrow(DataError);
    await expect(again).rejects.toThrow(`${file}: `);
  });

  test('has no summary until it ends', async () => {
    const { run, outOf } = runs('train.max_steps=4');
    await run('r', [], stopAfter(3));
    const file = join(outOf('r'), 'summary.json');
    expect(JSON.parse(readFileSync(file, 'utf8')).status).toBe('interrupted');
    const seen: boolean[] = [];
    await run('r', [], { resume: true, callbacks: [{ onUpdate: () => void seen.push(existsSync(file)) }] });
    expect(seen).toEqual([false]);
    expect(JSON.parse(readFileSync(file, 'utf8')).status).toBe('done');
  });

  const notComparable = /r: its run was measured on other held-out data, or on them read otherwise: /;
  const another = /r: its run is one with another configuration, module, model or data; /;
  test.each([
    ['rows that are held out', notComparable, []],
    ['name of what is held out', notComparable, ['eval.source=other.jsonl']],
    ['way to read what is held out', notComparable, ['eval.loss_on=all']],
    ['length of what is held out', notComparable, ['eval.max_length=4']],
    ['choice to hold out anything', notComparable, ['eval=[]']],
    ['learning rate', another, ['optimizer.lr=0.1']],
  ])('with another %s is refused, also without a checkpoint or at its end, and stays', async (...of) => {
    const [, words, changed] = of;
    const { run, outOf, folder } = runs('train.max_steps=3');
    const held = join(folder, 'held.jsonl');
    const [text, file] = [readFileSync(held, 'utf8'), join(outOf('r'), 'metrics.jsonl')];
    writeFileSync(join(folder, 'other.jsonl'), text);
    const more = changed.map((override) => override.replace('other.jsonl', `${folder}/other.jsonl`));
    const refuse = async () => {
      if (more.length === 0) writeFileSync(held, text.replace('6', '7'));
      const before = readFileSync(file, 'utf8');
      await expect(run('r', more, { resume: true })).rejects.toThrow(words);
      expect(readFileSync(file, 'utf8')).toBe(before);
      writeFileSync(held, text);
    };
    await run('r', [], stopAfter(2));
    rmSync(join(outOf('r'), 'checkpoints'), { recursive: true });
    await refuse();
    await run('r', [], { resume: true });
    await refuse();
  });

  test.each([0, 3])('is refused where its metrics lack update %i and its checkpoint has it', async (step) => {
    const { run, outOf } = runs('train.max_steps=6');
    await run('r', [], stopAfter(4));
    const file = join(outOf('r'), 'metrics.jsonl');
    const lines = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, lines.filter((line) => !line.startsWith(`{"step":${step},`)).join('\n'));
    const again = run('r', [], { resume: true });
    await expect(again).rejects.toThrow(DataError);
    await expect(again).rejects.toThrow(
      `metrics.jsonl: must have a line of each update from 0 to 4, that of the checkpoint, in order; line ${step + 1} is none`,
    );
  });
});

describe('a run that fails', () => {
  test('says so in its folder, keeps what it learnt, and goes on', async () => {
    const { run, outOf, recordOf } = runs(
      'train.max_steps=6',
      'train.save_every=1',
      'train.keep_checkpoints=null',
    );
    let isIll = true;
    const ill: Callback = {
      onStart({ step }) {
        isIll = step === 0;
      },
      onUpdate({ step }) {
        if (isIll && step === 3) throw new Error('no luck\nat all');
      },
    };
    await expect(run('r', [], { callbacks: [ill] })).rejects.toThrow('no luck');
    const summary = JSON.parse(readFileSync(join(outOf('r'), 'summary.json'), 'utf8'));
    expect(summary).toMatchObject({ status: 'failed', error: 'no luck', steps: 3, eval: {} });
    expect(readdirSync(join(outOf('r'), 'checkpoints')).sort()).toEqual(['step-1', 'step-2', 'step-3']);
    await expect(run('r')).rejects.toThrow(/holds a run; .*--resume \(it failed after 3 updates: no luck\)$/);
    await run('r', [], { resume: true, callbacks: [ill] });
    await run('whole');
    expect(recordOf('r')).toEqual(recordOf('whole'));
  });

  test('by a callback after another has ended it has the losses of its end when it goes on', async () => {
    const { run, outOf, recordOf } = runs('train.max_steps=7', 'train.eval_every=0');
    const stop: Callback = { onUpdate: (own) => void (own.step === 3 && own.stop('enough')) };
    const ill: Callback = {
      onUpdate({ step }) {
        if (step === 3) throw new Error('no luck');
      },
    };
    await expect(run('r', [], { callbacks: [stop, ill] })).rejects.toThrow('no luck');
    expect(ids(readMetrics(join(outOf('r'), 'metrics.jsonl')))).toEqual([0, 1, 2]);
    const again = await run('r', [], { resume: true, callbacks: [stop] });
    expect(again).toMatchObject({ status: 'done', stopped: 'enough', eval: { [held]: {} } });
    await run('whole', [], { callbacks: [stop] });
    expect(recordOf('r')).toEqual(recordOf('whole'));
  });

  test('by diverging leaves the parameters before the update that was not finite', async () => {
    const { run, outOf } = runs('train.max_steps=6', 'optimizer={name: sgd, lr: 1e30}', 'regularizer=none');
    await expect(run('r', ['train.max_grad_norm=null'])).rejects.toThrow(/^update 2: .*NaN/);
    const summary = JSON.parse(readFileSync(join(outOf('r'), 'summary.json'), 'utf8'));
    expect(summary).toMatchObject({ status: 'failed', steps: 1, error: expect.stringMatching(/^update 2/) });
    const after = readMetrics(join(outOf('r'), 'metrics.jsonl'));
    expect(ids(after)).toEqual([0, 1]);
    expect(existsSync(join(outOf('r'), 'adapter/adapter_model.safetensors'))).toBe(true);
    expect(readdirSync(join(outOf('r'), 'checkpoints'))).toEqual(['step-1']);
  });
});

test("a callback's column does not take the place of what a regularizer tells of the same update", async () => {
  const { run } = runs('train.max_steps=2');
  const column = { 'share_below.fourier': 1 };
  const ill: Callback = { onUpdate: ({ step, log }) => void (step === 2 && log(column)) };
  await expect(run('r', [], { callbacks: [ill] })).rejects.toThrow(
    "log: the column share_below.fourier is the run's own",
  );
});

describe('checkpoints', () => {
  const evaluate = ['train.max_steps=8', 'train.eval_every=1', 'train.save_every=2'];
  const kept = (out: string) => readdirSync(join(out, 'checkpoints')).sort();

  test('are all kept; or the last, and that of the lowest held-out loss, which the summary names', async () => {
    const { run, outOf } = runs(...evaluate, 'optimizer.lr=0.3');
    const { best } = await run('all', ['train.keep_checkpoints=null']);
    const lines = (readMetrics(join(outOf('all'), 'metrics.jsonl')) as StepMetrics[]).slice(1);
    const lowest = Math.min(...lines.map(({ eval: losses }) => losses![held]));
    const step = lines.findIndex(({ eval: losses }) => losses![held] === lowest) + 1;
    expect(step).toBeLessThan(7);
    const adapter = join(outOf('all'), `checkpoints/step-${step}/adapter`);
    expect(best).toEqual({ step, loss: lowest, adapter });
    expect(kept(outOf('all'))).toEqual(expect.arrayContaining(['step-2', 'step-4', 'step-6', 'step-8']));
    await run('some', ['train.keep_checkpoints=2']);
    expect(kept(outOf('some'))).toEqual([...new Set([`step-${step}`, 'step-6', 'step-8'])].sort());
    const none = await run('none', ['train.save_every=0']);
    expect(none.best).toEqual({ step, loss: lowest, adapter: null });
  });

  test('patience ends a run after the same update, wherever it was stopped before', async () => {
    const { run, recordOf, outOf } = runs(
      ...evaluate,
      'optimizer.lr=0.3',
      'train.patience=2',
      `train.best_by=${held}`,
    );
    const whole = await run('whole');
    expect(whole).toMatchObject({ status: 'done', stopped: `no lower ${held} loss in 2 evaluations` });
    expect(whole.steps).toBe(whole.best!.step + 2);
    for (let updates = 1; updates < whole.steps; updates++) {
      const name = `parts-${updates}`;
      await run(name, [], stopAfter(updates));
      await run(name, [], { resume: true });
      expect(recordOf(name)).toEqual(recordOf('whole'));
    }
    expect(await run('whole', [], { resume: true })).toEqual(whole);
    // As a run leaves it that is killed after its last checkpoint.
    await run('killed');
    rmSync(join(outOf('killed'), 'summary.json'));
    expect(await run('killed', [], { resume: true })).toMatchObject({ steps: whole.steps });
    expect(recordOf('killed')).toEqual(recordOf('whole'));
  });

  test.each([
    ['train.best_by=held.jsonl', `train.best_by must be ${held}, got "held.jsonl"`],
    ['train.patience=1', 'train.patience needs held-out data, `eval`, and a train.eval_every above 0'],
  ])('%s without such data is refused', async (key, words) => {
    const { run } = runs(...(key.includes('patience') ? ['eval=[]'] : []));
    const refused = run('r', [key]);
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(words);
  });
});

describe('a run that is made longer', () => {
  const rates = (out: string) =>
    (readMetrics(join(out, 'metrics.jsonl')) as StepMetrics[]).slice(1).map(({ lr }) => lr);
  const [four, eight] = [['train.max_steps=4'], ['train.max_steps=8']];

  test('has the old rates up to there, then those of its new length, and says so', async () => {
    const { run, plan, outOf, recordOf } = runs();
    await run('eight', eight);
    await run('r', four);
    const old = rates(outOf('r'));
    const { schedule: planned } = await plan('r', eight);
    const notes: string[] = [];
    const listen: Callback = { onStart: ({ info }) => void notes.push(...info.notes) };
    const longer = await run('r', eight, { resume: true, callbacks: [listen] });
    expect(longer).toMatchObject({ status: 'done', steps: 8 });
    expect(rates(outOf('r'))).toEqual([...old, ...rates(outOf('eight')).slice(4)]);
    for (const { update, lr } of planned) expect(rates(outOf('r'))[update - 1]).toBe(lr);
    await expect(plan('r', four)).rejects.toThrow('a run is made longer, never shorter');
    expect(readManifest(outOf('r'))).toMatchObject({ steps: 4, extended: [{ from: 4, to: 8, at: 4 }] });
    expect(notes.at(-1)).toMatch(
      /^extended from 4 to 8 updates after 4 of them: the learning rates up to there /,
    );
    expect(longer.digest).not.toBe((await run('eight', eight, { resume: true })).digest);
    // Stopped on the way, it is the same run.
    await run('parts', four);
    await run('parts', eight, { resume: true, ...stopAfter(5) });
    await run('parts', eight, { resume: true });
    expect(recordOf('parts')).toEqual(recordOf('r'));
    expect(await run('r', eight, { resume: true })).toEqual(longer);
  });

  test('before its end has the new rates from its checkpoint on; shorter it is refused', async () => {
    const { run, outOf } = runs();
    await run('r', four, stopAfter(3));
    await run('r', eight, { resume: true });
    expect(readManifest(outOf('r')).extended).toEqual([{ from: 4, to: 8, at: 3 }]);
    await expect(run('r', four, { resume: true })).rejects.toThrow(
      'has 8 updates, and this asks for 4: a run is made longer, never shorter',
    );
  });

  test('needs a checkpoint of its end', async () => {
    const { run } = runs('train.save_every=0');
    await run('r', four, stopAfter(2));
    await run('r', four, { resume: true });
    await expect(run('r', eight, { resume: true })).rejects.toThrow(
      /is done, and no checkpoint of its end; /,
    );
  });
});
