import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isLong, withoutSandbox } from '@flex/judge/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { commands, main } from './main.ts';
import { flex } from './testing/flex.ts';
import { flexOn, isFoldable } from './testing/screen.ts';

const adapter = {
  vendor: 'v',
  name: 'llvmpipe-llvm-15-0-6-256-bits-',
  driver: 'llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)',
  software: true,
  subgroupSizes: [8, 8],
  features: ['chromium-experimental-sampling-resource-table', 'shader-f16', 'subgroups', 'timestamp-query'],
  limits: { maxBufferSize: 2 ** 32, maxComputeInvocationsPerWorkgroup: 1024 },
};
vi.mock('@flex/tensor', async (original) => ({
  ...(await original<typeof import('@flex/tensor')>()),
  findAdapter: async () => adapter,
}));
vi.mock('./measure-device.ts', () => ({
  measureDevice: async (device: string) => ({
    device,
    missing: device === 'webgpu' ? 'webgpu: no adapter; install a Vulkan driver (see flex doctor)' : null,
    description: device === 'webgpu' ? null : `${device} (WebAssembly, 2 threads)`,
    product_gflops: 41.27,
    block_milliseconds: 4.004,
  }),
}));

const assets = join(import.meta.dirname, '../assets');
const micro = join(assets, 'micro');
const folder = mkdtempSync(join(tmpdir(), 'flex-名前 and a rather long name of a folder-'));
const at = (name: string) => join(folder, name);
const cpu = ['--device', 'cpu'];
const run = at('run');
const tasks = join(assets, 'quickstart/tasks.jsonl');
const trained = ['train', `model=${micro}`, `data.source=${tasks}`];
const short = ['data.split=1-2', 'data.max_length=72', 'train.epochs=2', 'train.batch_size=1', 'lora.rank=1'];
const eval_ = (samples: string) => {
  const own = ['--benchmark', at('own.jsonl'), '--samples', at(samples)];
  return ['eval', ...own, '--out', at(`of-${samples}`)];
};

const problem = {
  task_id: 'own/名前',
  prompt: 'def add(x):\n',
  entry_point: 'add',
  canonical_solution: '    return x + 1\n',
  test: 'def check(candidate):\n    assert candidate(1) == 2\n',
};

let times = 0;

/** For each command what it is run with, again and again. A command without a case fails. */
const cases: Readonly<Record<string, () => readonly string[][]>> = {
  train: () => [
    [...trained, ...short, `out=${at(`run-${times++}`)}`, ...cpu],
    [...trained, ...short, `out=${run}`, '--print-config'],
    [...trained, ...short, `out=${at('planned')}`, '--plan'],
  ],
  generate: () => [['generate', '--model', micro, '--prompt', 'def f(', '--max-new-tokens', '3', ...cpu]],
  logits: () => [['logits', '--model', micro, '--input', at('ids.json'), '--out', at('l'), ...cpu]],
  merge: () => [
    ['merge', '--model', micro, '--adapter', run, '--out', at(`merged-${times++}`), '--round-to', 'nf4'],
  ],
  export: () => [['export', 'gguf', '--model', micro, '--adapter', run, '--out', at(`${times++}.gguf`)]],
  'verify-merge': () => [
    ['verify-merge', '--model', micro, '--adapter', run, '--prompt', 'def f(', '--dtype', 'f16,nf4', ...cpu],
  ],
  spectrum: () => [
    ['spectrum', '--adapter', run, ...cpu],
    ['spectrum', '--adapter', run, '--against', run, '--permutations', '0', ...cpu],
    ['spectrum', '--run', run],
  ],
  eval: () => [eval_('right'), eval_('wrong')],
  compare: () => [['compare', at('of-right'), at('of-wrong')]],
  study: () => [
    ['study', at('study.yaml'), ...cpu],
    ['study', at('study.yaml'), '--plan', ...cpu],
  ],
  // It needs a Redis; commands/worker.test.ts runs it.
  worker: () => [],
  reproduce: () => [['reproduce', '0', `out=${at('round')}`, ...cpu]],
  report: () => [['report', run, '--out', at('report.html'), '--permutations', '0']],
  // It ends when it is asked to alone; commands/watch.test.ts runs it.
  watch: () => [],
  // They end when they are asked to, or their input ends; commands/serve.test.ts runs them.
  serve: () => [],
  chat: () => [],
  'audit-number': () => [['audit-number', '42.07', '--benchmark', 'humaneval-java']],
  data: () => [['data', 'audit', `${tasks}:1-4`, '--against', `${tasks}:81-84`]],
  model: () => [
    ['model', 'inspect', micro, ...cpu],
    ['model', 'check', micro, '--numbers'],
  ],
  doctor: () => [['doctor']],
  completion: () => [['completion', 'bash']],
};

/** Commands that open the sandbox, or read what one that did has written. */
const sandboxed = ['eval', 'compare'];

/**
 * What is printed as it is, at any width: what a program reads, code, the model's text, commands to type, and
 * the lines of a diff.
 */
const isWhole = (line: string) =>
  /^ {2}(pnpm |npx )?flex |^ {2}([-+ @]|---|\+\+\+)|^ {2}[A-Z]\S* /.test(line);
const prints: readonly string[] = ['completion', 'generate'];

beforeAll(async () => {
  writeFileSync(at('ids.json'), '{"input_ids": [[1, 5, 9]]}');
  writeFileSync(at('own.jsonl'), JSON.stringify(problem));
  writeFileSync(at('java.jsonl'), JSON.stringify({ ...problem, language: 'java', canonical_solution: null }));
  const sample = (completion: string) => JSON.stringify({ task_id: problem.task_id, completion });
  writeFileSync(at('right'), sample(problem.canonical_solution));
  writeFileSync(at('wrong'), sample(`    return x + 2  # ${'why not '.repeat(20)}\n`));
  mkdirSync(at('empty'));
  const [trains, holdsOut] = ['1-2', '81-82'].map((split) => ({ source: tasks, split }));
  const base = { model: micro, data: trains, eval: holdsOut, regularizer: 'none', train: { max_steps: 1 } };
  writeFileSync(at('study.yaml'), JSON.stringify({ base, seeds: 1, out: 'study' }));
  const spectra = 'train.spectrum_every=1';
  expect((await flex(...trained, ...short, spectra, `out=${run}`, ...cpu, '--quiet')).code).toBe(0);
  if (withoutSandbox) return;
  for (const samples of ['right', 'wrong']) expect((await flex(...eval_(samples))).code).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

test('every command has a case', () => {
  expect(Object.keys(cases).sort()).toEqual(Object.keys(commands).sort());
});

const names = Object.keys(commands).map((name) => ({
  name,
  skipped: withoutSandbox && sandboxed.includes(name),
}));
const widths = isLong ? [40, 80, 200] : [40];

const colour = new RegExp(`${'\u001b'}\\[[\\d;]*m`);

describe.each(names)('flex $name', ({ name, skipped }) => {
  test.skipIf(skipped).each(widths)('fits %i columns', async (columns) => {
    for (const args of cases[name]()) {
      const { code, screen, stdout, stderr } = await flexOn({ columns, colour: columns === 80 }, args);
      expect(code, stderr).toBe(0);
      if (columns !== 80) expect(stdout + stderr).not.toMatch(colour);
      if (args.includes('--print-config') || prints.includes(name)) continue;
      expect(screen.tooLong.filter((line) => isFoldable(line, columns) && !isWhole(line))).toEqual([]);
    }
  });

  test.skipIf(skipped)(
    'writes no escape into a pipe, and with --quiet nothing on standard error',
    async () => {
      for (const args of cases[name]()) {
        const pipe = { columns: null, colour: false };
        const quiet = name === 'completion' ? [] : ['--quiet'];
        const { code, stdout, stderr } = await flexOn(pipe, [...args, ...quiet]);
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        expect(stdout).not.toContain('\u001b');
        expect(stdout).not.toBe('');
      }
    },
  );

  test.each([40, 80, 200])('has help of %i columns', async (columns) => {
    const { code, stdout, stderr } = await flexOn({ columns, colour: true }, [name, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines.filter((line) => line.length > columns && isFoldable(line, columns))).toEqual([]);
    const [named] = await Promise.all([commands[name as keyof typeof commands]()]);
    for (const { long } of named.options) expect(stdout).toContain(long);
  });

  test('tells a wrong option in words, and with --json as JSON', async () => {
    const args = [name, '--no-such-option'];
    const { code, screen, stdout } = await flexOn({ columns: 40, colour: true }, args);
    expect({ code, stdout, tooLong: screen.tooLong }).toEqual({ code: 2, stdout: '', tooLong: [] });
    expect(screen.lines.join(' ')).toMatch(
      /^flex: (unknown option|required option|missing required argument) /,
    );
    if (name === 'completion') return;
    const json = await flex(...args, '--json');
    const { error } = JSON.parse(json.stdout);
    expect(error).toEqual({ message: json.stderr.trim().replace('flex: ', ''), kind: 'usage', exit_code: 2 });
  });
});

test.each([
  [['trian'], 'usage', 2, /unknown command 'trian'.*train/],
  [['train', 'model='], 'configuration', 2, /model/],
  [['train', at('nothing.yaml')], 'configuration', 2, /nothing\.yaml/],
  [['compare', at('empty'), at('empty')], 'data', 2, /empty/],
  [['spectrum', '--adapter', 'org/none'], 'configuration', 2, /flex model fetch --adapter org\/none/],
])('%j is an error in JSON too', async (args, kind, exit_code, message) => {
  vi.stubEnv('HF_HUB_CACHE', folder);
  const { code, stdout, stderr } = await flex(...args, '--json');
  vi.unstubAllEnvs();
  expect(code).toBe(exit_code);
  expect(JSON.parse(stdout)).toEqual({ error: { message: expect.stringMatching(message), kind, exit_code } });
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^ +at /m);
});

test('without a command, help is shown and one asked for', async () => {
  const { code, stdout, stderr } = await flex();
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^Usage: flex [\s\S]*\nflex: give a command; flex --help lists them\n$/);
});

test('--version is one line', async () => {
  for (const flag of ['--version', '-V']) {
    const { code, stdout } = await flex(flag);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^flex \d+\.\d+\.\d+(, commit [0-9a-f]{40}(, modified)?)?; Node \d+\.\d+\.\d+\n$/);
  }
  expect(await main(['--help'])).toBe(0);
});
