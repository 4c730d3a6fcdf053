import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { commandLine, DataError, digestFile, openInputFiles, readProvenance } from '@flex/base';
import { withoutSandbox } from '@flex/judge/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { outputOf } from '../context.ts';
import { newEvalProgress } from '../eval-progress.ts';
import { runEvaluation } from '../run-evaluation.ts';
import { flex } from '../testing/flex.ts';

const sandboxTest = test.skipIf(withoutSandbox);
const micro = join(import.meta.dirname, '../../assets/micro');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-eval-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes rows into a file of this folder. */
function write(name: string, rows: readonly object[]): string {
  const path = join(folder, name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

/** HumanEval-shaped problems of our own: functions that add n. */
const problems = (count: number) =>
  write(
    'own.jsonl',
    Array.from({ length: count }, (_, n) => ({
      task_id: `own/${n}`,
      prompt: `def add${n}(x):\n`,
      entry_point: `add${n}`,
      canonical_solution: `    return x + ${n}\n`,
      test: `def check(candidate):\n    assert candidate(2) == ${n + 2}\n`,
    })),
  );
const right = (n: number) => ({ task_id: `own/${n}`, completion: `    return x + ${n}\n` });
const wrong = (n: number) => ({ task_id: `own/${n}`, completion: '    return None\n' });

const run = (...args: string[]) => flex('eval', ...args);
const results = (out: string) => JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));

sandboxTest(
  'results and report say which data, samples and code, by which command, when and where',
  async () => {
    const [data, samples] = [problems(2), write('samples.jsonl', [right(0), wrong(1)])];
    const out = join(folder, 'out');
    const args = ['--benchmark', data, '--samples', samples, '--out', out];
    const { stdout } = await run(...args);
    const { provenance, samples_sha256 } = results(out);
    expect(readProvenance(provenance, 'results.json')).toEqual(provenance);
    expect(samples_sha256).toBe(digestFile(join(out, 'samples.jsonl')).sha256);
    expect(provenance).toMatchObject({
      model: null,
      adapters: [],
      samples: { path: samples, sha256: digestFile(samples).sha256 },
      data: [{ use: 'benchmark', path: data, sha256: digestFile(data).sha256 }],
      device: null,
      command: commandLine(),
      resumed: [],
    });
    expect(Date.parse(provenance.finished)).toBeGreaterThanOrEqual(Date.parse(provenance.started));
    const short = (path: string) =>
      `${basename(folder)}/${basename(path)} ${digestFile(path).sha256.slice(0, 8)}`;
    expect(stdout).toContain(
      `model none, adapter none\ndata ${short(data)} (benchmark), samples ${short(samples)}\n`,
    );
    expect(stdout).toMatch(
      /code flex \d+\.\d+\.\d+ .*, \d{4}-\d\d-\d\d \d\d:\d\d.* UTC, on \S+\ncommand \S+/,
    );
    // What is done stays what it was.
    const written = readFileSync(join(out, 'results.json'), 'utf8');
    expect(JSON.parse((await run(...args, '--json')).stdout).provenance).toEqual(provenance);
    expect(readFileSync(join(out, 'results.json'), 'utf8')).toBe(written);
    // What an evaluation that is replaced has kept may be from then.
    await run(...args, '--timeout', '7', '--overwrite');
    const { started, resumed } = results(out).provenance;
    expect({ started, resumed }).toEqual({
      started: provenance.started,
      resumed: [{ at: expect.any(String), after: null, until: { command: commandLine() } }],
    });
    const digestAfter = async (...more: string[]) => {
      const other = join(folder, 'other');
      await run(...args, ...more, '--out', other);
      const { digest } = results(other).provenance;
      rmSync(other, { recursive: true });
      return digest;
    };
    expect(await digestAfter()).toBe(provenance.digest);
    expect(await digestAfter('--timeout', '7')).not.toBe(provenance.digest);
    write('samples.jsonl', [right(0), right(1)]);
    expect(await digestAfter()).not.toBe(provenance.digest);
  },
);

sandboxTest('has another protocol where the largest k leaves other problems out', async () => {
  const samples = write('samples.jsonl', [right(0), wrong(0), right(1)]);
  const dropping = (k: string) => {
    const out = join(folder, `k${k}`);
    const args = ['--benchmark', problems(2), '--samples', samples, '--incomplete', 'drop', '--k', k];
    return run(...args, '--out', out).then(() => results(out));
  };
  const [one, two] = [await dropping('1'), await dropping('2')];
  expect([one['pass@1'], two['pass@1']]).toEqual([0.75, 0.5]);
  expect(two.protocol).not.toBe(one.protocol);
});

sandboxTest('what changes while it is read is judged by nobody, and nothing is generated', async () => {
  const changed = () => {
    throw new DataError('changed');
  };
  const context = {
    output: outputOf({ quiet: true }),
    progress: newEvalProgress(true),
    signal: new AbortController().signal,
    files: { ...openInputFiles(), requireUnchanged: changed },
  };
  const out = join(folder, 'out');
  const options = { benchmark: problems(1), settings: [], k: [1], out, jobs: 1, device: 'cpu' };
  const samples = write('samples.jsonl', [right(0)]);
  for (const source of [{ samples }, { model: micro, maxNewTokens: 1 }]) {
    const asked = { ...options, ...source, incomplete: 'fail' as const };
    await expect(runEvaluation(asked, context)).rejects.toThrow('changed');
    for (const name of ['results.json', 'judgements.jsonl', 'completions.jsonl', 'provenance.json'])
      expect(existsSync(join(out, name))).toBe(false);
  }
});
