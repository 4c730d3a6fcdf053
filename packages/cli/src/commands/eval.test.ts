import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { withoutSandbox } from '@flex/judge/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const sandboxTest = test.skipIf(withoutSandbox);

const bin = join(import.meta.dirname, '../../bin/flex.mjs');
const micro = join(import.meta.dirname, '../../assets/micro');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-eval-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A HumanEval-shaped problem of our own: a function that adds n. */
const problem = (n: number) => ({
  task_id: `own/${n}`,
  prompt: `def add${n}(x):\n    """x and ${n} together."""\n`,
  entry_point: `add${n}`,
  canonical_solution: `    return x + ${n}\n`,
  test: `def check(candidate):\n    assert candidate(1) == ${n + 1}\n    assert candidate(-2) == ${n - 2}\n`,
});

function write(name: string, rows: readonly unknown[]): string {
  const path = join(folder, name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

const problems = (count: number) =>
  write(
    'own.jsonl',
    Array.from({ length: count }, (_, n) => problem(n)),
  );
const right = (n: number) => ({ task_id: `own/${n}`, completion: problem(n).canonical_solution });
const wrong = (n: number) => ({ task_id: `own/${n}`, completion: '    return None\n' });
const slow = (n: number) => ({
  task_id: `own/${n}`,
  completion: `    import time\n    time.sleep(0.5)\n    return x + ${n}\n`,
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [bin, 'eval', ...args], { env, cwd: folder });
  const written = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    written.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    written.stderr += stripVTControlCharacters(String(chunk));
  });
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, ...written })));
  return { child, ended };
}

const run = (...args: string[]) => flex('eval', ...args);

const results = (out: string) => JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
/** Results but for what may differ from one time to the next: when, and how many seconds a check took. */
const timeless = (out: string) => {
  const { provenance, samples_sha256, ...rest } = results(out);
  return { ...rest, digest: provenance.digest };
};
const rows = (out: string) =>
  readFileSync(join(out, 'samples.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** Lets the evaluation make some judgements, then does something to its process. */
async function interrupt(args: readonly string[], out: string, signal: NodeJS.Signals): Promise<Ended> {
  const { child, ended } = start(args);
  const log = join(out, 'judgements.jsonl');
  while (!existsSync(log) || readFileSync(log, 'utf8').split('\n').length < 3) await setTimeout(20);
  child.kill(signal);
  return await ended;
}

sandboxTest('scores a file of completions: passed, failed and missing', async () => {
  const out = join(folder, 'out');
  const samples = write('samples.jsonl', [right(0), wrong(1), right(2)]);
  const { code, stdout, stderr } = await run(
    ...['--benchmark', problems(4), '--samples', samples, '--out', out, '--json', '--k', '1'],
  );
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(JSON.parse(stdout)).toMatchObject({ 'pass@1': 0.5, n: 4, out });
  expect(results(out)).toMatchObject({
    'pass@1': 0.5,
    n: 4,
    counts: { passed: 2, failed: 1, missing: 1, timeout: 0 },
    failures: { assertion: 1, missing: 1 },
    protocol: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  const [low, high] = results(out).ci95;
  expect(low).toBeCloseTo(0.15, 3);
  expect(high).toBeCloseTo(0.85, 3);
  expect(rows(out).map(({ task_id, verdict, assurance }) => [task_id, verdict, assurance])).toEqual([
    ['own/0', 'passed', 'isolated'],
    ['own/1', 'failed', 'isolated'],
    ['own/2', 'passed', 'isolated'],
    ['own/3', 'missing', null],
  ]);
});

sandboxTest('leaves problems without a sample out only where that is asked for', async () => {
  const samples = write('samples.jsonl', [right(0), wrong(1)]);
  const out = join(folder, 'out');
  const args = ['--benchmark', problems(4), '--samples', samples, '--out', out];
  await run(...args, '--incomplete', 'drop');
  expect(results(out)).toMatchObject({ 'pass@1': 0.5, n: 2, dropped: 2, incomplete: 'drop' });
  const { protocol } = results(out);
  await run(...args, '--overwrite');
  expect(results(out)).toMatchObject({ 'pass@1': 0.25, n: 4 });
  expect(results(out).protocol).not.toBe(protocol);
});

sandboxTest('takes several samples a problem, and gives pass@k, each with its interval', async () => {
  const samples = write('samples.jsonl', [right(0), wrong(0), wrong(1), wrong(1)]);
  const out = join(folder, 'out');
  await run('--benchmark', problems(2), '--samples', samples, '--k', '1,2', '--out', out);
  expect(results(out)).toMatchObject({ 'pass@1': 0.25, 'pass@2': 0.5, n: 2, samples_per_problem: 2 });
  expect(Object.keys(results(out).intervals)).toEqual(['pass@1', 'pass@2']);
});

sandboxTest('a second run judges nothing anew, and writes the same but for when', async () => {
  const samples = write('samples.jsonl', [right(0), wrong(1)]);
  const out = join(folder, 'out');
  const args = ['--benchmark', problems(2), '--samples', samples, '--out', out];
  await run(...args);
  const files = ['samples.jsonl', 'judgements.jsonl'];
  const read = () => [timeless(out), ...files.map((name) => readFileSync(join(out, name), 'utf8'))];
  const before = read();
  await run(...args);
  expect(read()).toEqual(before);
});

sandboxTest.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s keeps what is done, and the same command goes on', async (signal, expected) => {
  const samples = write(
    'samples.jsonl',
    Array.from({ length: 12 }, (_, n) => slow(n)),
  );
  const args = [
    '--benchmark',
    problems(12),
    '--samples',
    samples,
    '--jobs',
    '2',
    '--out',
    join(folder, 'out'),
  ];
  const { code, stderr } = await interrupt(args, join(folder, 'out'), signal);
  expect(code).toBe(expected);
  expect(stderr).toContain('the same command goes on');
  expect(existsSync(join(folder, 'out/results.json'))).toBe(false);
  const kept = readFileSync(join(folder, 'out/judgements.jsonl'), 'utf8');
  expect((await run(...args)).code).toBe(0);
  expect(results(join(folder, 'out'))).toMatchObject({ 'pass@1': 1, n: 12 });
  expect(readFileSync(join(folder, 'out/judgements.jsonl'), 'utf8').startsWith(kept)).toBe(true);
});

sandboxTest(
  'kill -9 leaves nothing of its boxes alive, and a second run gives the results of one never killed',
  async () => {
    const marker = `flex-eval-marker-${process.pid}-${Date.now()}`;
    const sleeper = (n: number) => ({
      task_id: `own/${n}`,
      completion:
        `    import subprocess, time\n` +
        `    subprocess.Popen(['${marker}', '60'], executable='/usr/bin/sleep', start_new_session=True)\n` +
        `    time.sleep(0.5)\n    return x + ${n}\n`,
    });
    const samples = write(
      'samples.jsonl',
      Array.from({ length: 12 }, (_, n) => sleeper(n)),
    );
    const args = ['--benchmark', problems(12), '--samples', samples, '--jobs', '2'];
    const [killed, whole] = [join(folder, 'killed'), join(folder, 'whole')];
    await interrupt([...args, '--out', killed], killed, 'SIGKILL');
    await setTimeout(1000);
    expect(processesWith(marker)).toEqual([]);
    expect((await run(...args, '--out', killed)).code).toBe(0);
    expect((await run(...args, '--out', whole)).code).toBe(0);
    expect(timeless(killed)).toEqual(timeless(whole));
    const verdicts = (out: string) => rows(out).map(({ seconds, ...row }) => row);
    expect(verdicts(killed)).toEqual(verdicts(whole));
  },
);

/** Command lines of the machine's processes that hold this word. */
function processesWith(word: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch (error) {
        if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
        throw error;
      }
    })
    .filter((line) => line.includes(word));
}

sandboxTest('a model generates, its completions are kept, and merging is part of the protocol', async () => {
  const out = join(folder, 'out');
  const args = [
    '--benchmark',
    problems(2),
    '--model',
    micro,
    '--device',
    'cpu',
    '--max-new-tokens',
    '4',
    '--out',
    out,
  ];
  const first = await run(...args);
  expect({ code: first.code, stderr: first.stderr }).toMatchObject({ code: 0 });
  expect(rows(out)).toHaveLength(2);
  for (const { completion } of rows(out)) expect(typeof completion).toBe('string');
  const kept = readFileSync(join(out, 'completions.jsonl'), 'utf8');
  expect(kept.trim().split('\n')).toHaveLength(2);
  expect(results(out).protocol_parts.decoding).toMatchObject({
    temperature: 0,
    maxNewTokens: 4,
    merged: false,
  });
  const before = results(out);
  await run(...args);
  expect(readFileSync(join(out, 'completions.jsonl'), 'utf8')).toBe(kept);
  expect(results(out)).toEqual(before);
  // What it wrote is a file of samples like any other.
  await run(
    '--benchmark',
    problems(2),
    '--samples',
    join(out, 'samples.jsonl'),
    '--out',
    join(folder, 'again'),
  );
  expect(results(join(folder, 'again')).counts).toEqual(results(out).counts);
});

sandboxTest('results do not go through links in the folder of results, which may be one itself', async () => {
  const [real, out] = ['real', 'out'].map((name) => join(folder, name));
  const outside = write('outside', [{ kept: true }]);
  mkdirSync(real);
  symlinkSync(real, out);
  const samples = write('samples.jsonl', [right(0)]);
  const args = ['--benchmark', problems(1), '--samples', samples, '--out', out];
  symlinkSync(outside, join(real, 'judgements.jsonl'));
  const refused = await run(...args);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain(
    `${join(out, 'judgements.jsonl')}: is a link, and nothing is written through one`,
  );
  rmSync(join(real, 'judgements.jsonl'));
  for (const name of ['samples.jsonl', 'results.json']) symlinkSync(outside, join(real, name));
  expect((await run(...args)).code).toBe(0);
  expect(JSON.parse(readFileSync(join(real, 'results.json'), 'utf8'))['pass@1']).toBe(1);
  expect(readFileSync(outside, 'utf8')).toBe('{"kept":true}\n');
});

sandboxTest('ids and keys cannot steer the terminal', async () => {
  for (const row of [
    { task_id: 'own\u001b[2J\u009b\u202e', completion: '' },
    { task_id: 'own/0', 'a\u009b\u202e': 1 },
  ]) {
    const { code, stderr } = await run(
      '--benchmark',
      problems(1),
      '--samples',
      write('samples.jsonl', [row]),
    );
    expect(code).toBe(2);
    expect(stderr.trim()).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  }
});

test('without bubblewrap: exit code 3 and the one line that mends it', async () => {
  const samples = write('samples.jsonl', [right(0)]);
  const args = ['--benchmark', problems(1), '--samples', samples];
  const { code, stdout, stderr } = await start(args, { ...process.env, PATH: folder }).ended;
  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toContain('apt-get install bubblewrap');
  expect(existsSync(join(folder, 'runs'))).toBe(false);
});

test.each([
  [['--benchmark', 'humanevl', '--samples', 'S'], 'humaneval'],
  [['--benchmark', 'OWN'], '--samples FILE or --model DIR'],
  [['--benchmark', 'OWN', '--samples', 'S', '--model', micro], 'one of them'],
  [['--benchmark', 'OWN', '--samples', 'nowhere.jsonl'], 'nowhere.jsonl'],
  [['--benchmark', 'nowhere.jsonl', '--samples', 'S'], 'nowhere.jsonl'],
  [['--benchmark', 'OWN', '--samples', 'S', '--temperature', '1'], '--temperature: belongs to --model'],
  [['--benchmark', 'OWN', '--samples', 'S', '--merged'], '--merged: belongs to --model'],
  [['--benchmark', 'OWN', '--model', micro, '--merged'], '--merged: needs --adapter'],
  [['--benchmark', 'OWN', '--model', micro, '--merged', '--adapter', 'A@2'], '--merged: takes one --adapter'],
  [['--benchmark', 'OWN', '--model', micro, '--n', '5'], '--n: above 1 needs --temperature'],
  [['--benchmark', 'OWN', '--model', micro, '--k', '1,10'], 'give --n 10'],
  [['--benchmark', 'OWN', '--model', micro, '--num-beams', '2', '--batch-size', '4'], 'one prompt at a time'],
  [['--benchmark', 'OWN', '--samples', 'S', '--batch-size', '4'], '--batch-size: belongs to --model'],
  [['--benchmark', 'OWN', '--samples', 'S', '--k', '0'], 'whole numbers from 1'],
  [['--benchmark', 'OWN', '--samples', 'S', '--timeout', '0'], 'above 0'],
  [['--benchmark', 'OWN', '--samples', 'S', '--timeout', '3000000'], 'at most 86400'],
  [['--benchmark', 'OWN', '--samples', 'S', '--jobs', '0'], 'from 1'],
  [['--benchmark', 'OWN', '--samples', 'S', '--truncate', 'sometimes'], 'stop-list'],
  [['--benchmark', 'OWN', '--samples', 'S', '--prompt', 'rew'], 'raw'],
])('%j is one clear line and exit code 2', async (args, words) => {
  const files: Record<string, string> = { OWN: problems(1), S: write('samples.jsonl', [right(0)]) };
  const { code, stdout, stderr } = await run(...args.map((arg) => files[arg] ?? arg));
  expect({ code, stdout, stderr }).toMatchObject({ code: 2, stdout: '' });
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toContain(words);
});

sandboxTest.each([
  ['{"task_id": "own/9", "completion": "x"}', ['samples.jsonl:1', 'own/9']],
  ['{"task_id": "own/0"}', ['samples.jsonl:1', 'completion']],
  ['{"task_id": "own/0", "completion": 5}', ['samples.jsonl:1', 'completion']],
  ['{"task_id": "own/0", "completion": "x"', ['samples.jsonl:1']],
  ['', ['samples.jsonl', 'no rows']],
])('the row %s is one line that names the place, and nothing is written', async (row, words) => {
  const samples = join(folder, 'samples.jsonl');
  writeFileSync(samples, row);
  const out = join(folder, 'out');
  const { code, stderr } = await run('--benchmark', problems(1), '--samples', samples, '--out', out);
  expect({ code, stderr }).toMatchObject({ code: 2 });
  expect(stderr.trim().split('\n')).toHaveLength(1);
  for (const word of words) expect(stderr).toContain(word);
  expect(existsSync(out)).toBe(false);
});

sandboxTest.each(['a file', 'a folder in a file', 'a folder where none can be'])(
  'results cannot go into %s: one line, exit code 2',
  async (what) => {
    const samples = write('samples.jsonl', [right(0)]);
    const out = { 'a file': samples, 'a folder in a file': join(samples, 'out') }[what] ?? '/proc/out';
    const { code, stderr } = await run('--benchmark', problems(1), '--samples', samples, '--out', out);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(out) });
  },
);

sandboxTest('the number of samples a problem is part of the protocol', async () => {
  const samples = write('samples.jsonl', [right(0), right(1)]);
  const args = ['--benchmark', problems(2), '--samples', samples];
  await run(...args, '--out', join(folder, 'one'));
  await run(...args, '--n', '2', '--out', join(folder, 'two'));
  const [one, two] = ['one', 'two'].map((name) => results(join(folder, name)));
  expect([one['pass@1'], two['pass@1']]).toEqual([1, 0.5]);
  expect(one.protocol).not.toBe(two.protocol);
});

sandboxTest('a k that no problem has samples for is refused before anything is judged', async () => {
  const samples = write('samples.jsonl', [right(0)]);
  const out = join(folder, 'out');
  const { code } = await run('--benchmark', problems(1), '--samples', samples, '--k', '5', '--out', out);
  expect(code).toBe(2);
  expect(existsSync(out)).toBe(false);
});

sandboxTest('samples beyond the default split of MBPP take all its rows', async () => {
  const data = write(
    'mbpp.jsonl',
    [1, 11].map((task_id) => ({
      ...{ task_id, text: 'One.', code: 'def f(): return 1', test_list: ['assert f() == 1'] },
      ...{ test_setup_code: '', challenge_test_list: [] },
    })),
  );
  const samples = write(
    's.jsonl',
    [1, 11].map((task_id) => ({ task_id, completion: 'def f(): return 1' })),
  );
  const own = ['--benchmark', 'mbpp', '--data', data, '--samples', samples, '--json'];
  const { code, stdout } = await start(own).ended;
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ n: 2, 'pass@1': 1 });
  expect((await start([...own, '--split', 'test']).ended).code).toBe(2);
});

/** A benchmark of a module of one's own: a function that doubles, tried on some numbers. */
const doubling = `
  import { definePart } from '@flex/base';
  import { z } from 'zod';
  export default definePart({
    name: 'doubling',
    schema: z.strictObject({ howMany: z.int().min(1).default(2) }),
    make: ({ howMany }) => ({
      name: 'doubling',
      options: { howMany },
      async *problems() {
        const prompt = 'def double(x):\\n';
        const canonical = '    return 2 * x\\n';
        yield { id: 'double', language: 'py', prompt, stop: [], canonical, empty: '    return None\\n' };
      },
      program: (problem, answer) => ({
        language: 'py',
        source: answer.kind === 'program' ? answer.text : problem.prompt + answer.text,
        tests: {
          kind: 'python-calls',
          setup: '',
          code: Array.from({ length: howMany }, (_, i) => \`assert double(\${i}) == \${2 * i}\\n\`).join(''),
          entryPoints: ['double'],
          inProcess: '',
        },
      }),
    }),
  });
`;

sandboxTest("a benchmark of one's own is a module, with options of its own", async () => {
  writeFileSync(join(folder, 'doubling.ts'), doubling);
  const completion = '    return x + x if x < 3 else 0\n';
  const samples = write('samples.jsonl', [{ task_id: 'double', completion }]);
  const judged = async (...options: string[]) => {
    const { ended } = start(['--benchmark', './doubling.ts', '--samples', samples, '--json', ...options]);
    const { code, stdout, stderr } = await ended;
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout)['pass@1'];
  };
  expect(await judged()).toBe(1);
  expect(await judged('how_many=4')).toBe(0);
});

test.each([
  [['how_meny=2'], 'how_meny is not a key; did you mean how_many?'],
  [['how_many=0'], 'how_many must be a whole number of at least 1, got 0'],
  [['--split', 'all'], 'split is not a key; the top level takes how_many'],
])('an option that it does not take is told in one line: %j', async (options, message) => {
  writeFileSync(join(folder, 'doubling.ts'), doubling);
  const samples = write('samples.jsonl', []);
  const { ended } = start(['--benchmark', './doubling.ts', '--samples', samples, ...options]);
  const { code, stderr } = await ended;
  expect(code).toBe(2);
  expect(stderr).toBe(`flex: --benchmark ./doubling.ts: ${message}\n`);
});
