// One writer a folder: what a second one is told, and that the first one's record stays whole.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { temporaryFolder } from '@flex/base/testing';
import { withoutSandbox } from '@flex/judge/testing';
import { expect, onTestFinished, test } from 'vitest';
import { type Ended, flex } from './testing/flex.ts';

const sandboxTest = test.skipIf(withoutSandbox);
const long = process.env.FLEX_LONG_TESTS === '1';
const bin = join(import.meta.dirname, '../bin/flex.mjs');
const assets = join(import.meta.dirname, '../assets');
const micro = join(assets, 'micro');

/** A command in a process of its own. */
function start(args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (text) => {
      written[name] += stripVTControlCharacters(String(text));
    });
  }
  return { child, ended: once(child, 'close').then(([code]) => ({ code, ...written })) };
}

async function until(is: () => boolean): Promise<void> {
  while (!is()) await setTimeout(10);
}

/** One line that says this, on standard error; with --json an object on standard output too. */
function expectRefused({ code, stdout, stderr }: Ended, words: string | RegExp): void {
  const lines = stderr.split('\n').filter((line) => line.startsWith('flex: '));
  expect({ code, lines }, stderr).toMatchObject({ code: 2, lines: [expect.anything()] });
  const message = lines[0].slice('flex: '.length);
  expect(message).toMatch(words);
  if (stdout !== '') expect(JSON.parse(stdout).error).toMatchObject({ message, exit_code: 2 });
}

/** The files of a folder and those within, by path, but the lock. */
function filesOf(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(files.map((file) => [file, readFileSync(file, 'latin1')]));
}

const trainArgs = (out: string, epochs: number) => [
  'train',
  `model=${micro}`,
  `data.source=${join(assets, 'quickstart/tasks.jsonl')}`,
  ...[
    'data.split=1-8',
    'data.max_length=72',
    'train.batch_size=2',
    'train.eval_every=0',
    'train.save_every=1',
  ],
  `train.epochs=${epochs}`,
  `out=${out}`,
  ...['--device', 'cpu', '--threads', '1', '--json'],
];
const updates = (epochs: number) => 4 * epochs;

/** Throws unless the run in a folder is done, with a line for each of its updates and no other. */
function expectWholeRun(out: string, epochs: number): void {
  const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const steps = lines.map((line) => JSON.parse(line).step as number).filter((step) => step > 0);
  expect(steps).toEqual(Array.from({ length: updates(epochs) }, (_, i) => i + 1));
  expect(JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'))).toMatchObject({ status: 'done' });
  expect(readdirSync(out).filter((name) => name.startsWith('.'))).toEqual([]);
}

const beingWritten =
  /out\w*: is being written into by process \d+ on \S+ \(flex (train|eval) .*, since .* UTC\); wait/;

const starts = [0, 0, 0, 5].flatMap((seconds) => [
  { seconds, option: '--quiet' },
  { seconds, option: '--overwrite' },
]);

test.each(long ? starts : starts.slice(0, 1))(
  'of two runs into one folder, started $seconds s apart with $option, one is refused and the other whole',
  { timeout: 300_000 },
  async ({ seconds, option }) => {
    const out = join(temporaryFolder(), 'out');
    const epochs = long ? 10 * (1 + seconds) : 1;
    const args = [...trainArgs(out, epochs), option];
    const first = start(args);
    await setTimeout(1000 * seconds);
    const both = await Promise.all([first, start(args)].map(({ ended }) => ended));
    const [whole, refused] = both.sort((a, b) => a.code - b.code);
    expect(whole.code, whole.stderr).toBe(0);
    // A short run may be done when the other one begins.
    expectRefused(refused, long ? beingWritten : /out: (is being written into|holds a run)/);
    expectWholeRun(out, epochs);
  },
);

test('a run that is being written is refused to all others; one that was killed is taken over with a note', async () => {
  const out = join(temporaryFolder(), 'out');
  const { child, ended } = start(trainArgs(out, 20));
  const metrics = join(out, 'metrics.jsonl');
  await until(() => existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"step":2,'));
  // A process that is stopped has its lock all the same.
  child.kill('SIGSTOP');
  for (const option of ['--quiet', '--overwrite', '--resume']) {
    expectRefused(await flex(...trainArgs(out, 1), option), beingWritten);
  }
  child.kill('SIGKILL');
  await ended;
  const lock = readFileSync(join(out, '.lock'), 'utf8');
  expectRefused(await flex(...trainArgs(out, 1)), /out: holds a run; take another folder/);
  // The refused one has taken the lock over and given it back; it is put there again for the next.
  writeFileSync(join(out, '.lock'), lock);
  const next = await flex(...trainArgs(out, 1), '--overwrite');
  expect(next.code, next.stderr).toBe(0);
  expect(next.stderr).toContain(`${out}: its lock was of process ${child.pid} on `);
  expectWholeRun(out, 1);
});

/** A benchmark of functions that add, in a file. */
function benchmark(folder: string, count: number, name = 'own.jsonl'): string {
  const rows = Array.from({ length: count }, (_, n) => ({
    task_id: `own/${n}`,
    prompt: `def add${n}(x):\n`,
    entry_point: `add${n}`,
    canonical_solution: `    return x + ${n}\n`,
    test: `def check(candidate):\n    assert candidate(1) == ${n + 1}\n`,
  }));
  return write(join(folder, name), rows);
}

/** A file of completions, one a problem, of which these are right. */
function samples(
  folder: string,
  right: readonly boolean[],
  { sleep = 0, name = 'samples.jsonl' } = {},
): string {
  const rows = right.map((isRight, n) => ({
    task_id: `own/${n}`,
    completion: `    import time; time.sleep(${sleep})\n    return ${isRight ? `x + ${n}` : 'None'}\n`,
  }));
  return write(join(folder, name), rows);
}

function write(path: string, rows: readonly unknown[]): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

const evalArgs = (own: string, from: string, out: string, ...more: string[]) => [
  ...['eval', '--benchmark', own, '--samples', from, '--out', out, '--json', '--quiet', '--jobs', '1'],
  ...more,
];
const passed = (out: string) =>
  JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')).counts.passed as number;

sandboxTest.each(long ? starts : starts.slice(0, 1))(
  'of two evaluations into one folder, started $seconds s apart with $option, one is refused and the other whole',
  { timeout: 300_000 },
  async ({ seconds, option }) => {
    const folder = temporaryFolder();
    const [own, out] = [benchmark(folder, 4), join(folder, 'out')];
    const sleep = long ? 2 + seconds : 0.2;
    const good = samples(folder, [true, true, true, true], { sleep });
    const bad = samples(folder, [true, false, false, false], { sleep, name: 'bad.jsonl' });
    const first = start([...evalArgs(own, good, out), option]);
    await setTimeout(1000 * seconds);
    const ends = await Promise.all(
      [first, start([...evalArgs(own, bad, out), option])].map((one) => one.ended),
    );
    const codes = ends.map(({ code }) => code);
    expect([...codes].sort(), ends.map(({ stderr }) => stderr).join()).toEqual([0, 2]);
    const winner = codes.indexOf(0);
    expectRefused(ends[1 - winner], long ? beingWritten : /out: (is being written into|holds an evaluation)/);
    expect(JSON.parse(ends[winner].stdout).counts.passed).toBe([4, 1][winner]);
    expect(passed(out)).toBe([4, 1][winner]);
  },
);

sandboxTest(
  'an evaluation that was killed is taken over with a note, and refused to other inputs',
  async () => {
    const folder = temporaryFolder();
    const [own, out] = [benchmark(folder, 6), join(folder, 'out')];
    const slow = samples(folder, Array(6).fill(true), { sleep: 0.3 });
    const { child, ended } = start(evalArgs(own, slow, out));
    const log = join(out, 'judgements.jsonl');
    await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('\n'));
    child.kill('SIGSTOP');
    expectRefused(await flex(...evalArgs(own, slow, out)), beingWritten);
    child.kill('SIGKILL');
    await ended;
    const lock = readFileSync(join(out, '.lock'), 'utf8');
    const other = samples(folder, Array(6).fill(false), { name: 'other.jsonl' });
    expectRefused(
      await flex(...evalArgs(own, other, out)),
      /out: holds an evaluation of other inputs \(samples, options\); take another folder/,
    );
    writeFileSync(join(out, '.lock'), lock);
    const { code, stderr } = await flex(...evalArgs(own, slow, out));
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('its lock was of process'),
    });
    expect(passed(out)).toBe(6);
  },
);

sandboxTest('a finished evaluation takes no other inputs, unless it is to be replaced', async () => {
  const folder = temporaryFolder();
  const [own, out] = [benchmark(folder, 2), join(folder, 'out')];
  const good = samples(folder, [true, true]);
  const bad = samples(folder, [true, false], { name: 'bad.jsonl' });
  expect((await flex(...evalArgs(own, good, out))).code).toBe(0);
  writeFileSync(join(out, 'notes.txt'), 'mine');
  const before = filesOf(out);
  const others: [string, string[]][] = [
    ['samples, options', evalArgs(own, bad, out)],
    ['data, options', evalArgs(benchmark(folder, 3, 'other.jsonl'), good, out)],
    ['options', evalArgs(own, good, out, '--incomplete', 'drop')],
    ['options', evalArgs(own, good, out, '--timeout', '9')],
    ['model, dtype, samples, options, seeds', evalArgs(own, good, out).with(3, '--model').with(4, micro)],
  ];
  for (const [what, args] of others) {
    expectRefused(
      await flex(...args),
      `out: holds an evaluation of other inputs (${what}); take another folder`,
    );
    expect(filesOf(out)).toEqual(before);
  }
  // The same inputs under another name.
  const copied = write(join(folder, 'elsewhere/rows.jsonl'), []);
  writeFileSync(copied, readFileSync(good));
  expect((await flex(...evalArgs(own, copied, out))).code).toBe(0);
  expect(passed(out)).toBe(2);
  expect((await flex(...evalArgs(own, bad, out, '--overwrite'))).code).toBe(0);
  expect(passed(out)).toBe(1);
  expect(readFileSync(join(out, 'notes.txt'), 'utf8')).toBe('mine');
  const judged = readFileSync(join(out, 'judgements.jsonl'), 'utf8');
  expect(judged.startsWith(before[join(out, 'judgements.jsonl')])).toBe(true);
});

sandboxTest(
  'results by another protocol, of unknown inputs or of no evaluation are not replaced',
  async () => {
    const folder = temporaryFolder();
    const [own, out] = [benchmark(folder, 1), join(folder, 'out')];
    const good = samples(folder, [true]);
    const args = evalArgs(own, good, out);
    expect((await flex(...args)).code).toBe(0);
    const path = join(out, 'results.json');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('"architecture": "', '"architecture": "an'));
    expectRefused(
      await flex(...args),
      'out: holds results by another protocol (architecture); take another folder',
    );
    writeFileSync(path, text);
    rmSync(join(out, 'provenance.json'));
    expectRefused(
      await flex(...args),
      'out: holds results that do not say of which inputs; take another folder',
    );
    expect((await flex(...args, '--overwrite')).code).toBe(0);
    for (const name of ['results.json', 'samples.jsonl']) {
      const mine = join(folder, `in-${name}`);
      write(join(mine, name), [{ mine: true }]);
      for (const more of [[], ['--overwrite']]) {
        const refused = await flex(...evalArgs(own, good, mine, ...more));
        expectRefused(refused, `${name}: was written by no evaluation and is in the way`);
      }
      expect(readdirSync(mine)).toEqual([name]);
    }
  },
);

test('folders that hold what a command reads, or where it is given, are refused in one line', async () => {
  const folder = temporaryFolder();
  const model = join(folder, 'model');
  symlinkSync(micro, model);
  const [own, good] = [benchmark(folder, 1), samples(folder, [true])];
  const outs = ['/', '.', homedir(), micro, model, join(model, 'out'), assets];
  for (const out of outs) {
    const before = filesOf(micro);
    const trained = trainArgs(out, 1);
    expectRefused(
      await flex(...trained, '--overwrite'),
      /out: \S+ (is|holds|lies in) the .*; take a folder of its own/,
    );
    const merged = ['merge', '--model', model, '--adapter', folder, '--out', out];
    expectRefused(await flex(...merged), /--out: \S+ (is|holds|lies in) the .*; take a folder of its own/);
    expect(filesOf(micro)).toEqual(before);
  }
  if (withoutSandbox) return;
  for (const out of ['/', '.', folder]) {
    expectRefused(
      await flex(...evalArgs(own, good, out)),
      /--out: \S+ (is|holds) the .*; take a folder of its own/,
    );
  }
  expectRefused(
    await flex(...evalArgs(own, good, join(model, 'out')).with(3, '--model').with(4, model)),
    /--out: \S+ lies in the folder of the model/,
  );
});
