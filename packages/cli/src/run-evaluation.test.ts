import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withoutSandbox } from '@flex/judge/testing';
import { Command } from 'commander';
import { expect, test } from 'vitest';
import { outputOf } from './context.ts';
import { untilInterrupted } from './run-evaluation.ts';
import { flex } from './testing/flex.ts';

const quiet = { output: outputOf({ quiet: true }), quiet: true };

/** Asked to end in the middle of its work, which then throws what `thrown` makes of the signal's reason. */
async function asked(thrown: (reason: unknown) => unknown): Promise<Command> {
  const command = new Command();
  await untilInterrupted(command, quiet, async ({ signal }) => {
    process.emit('SIGTERM', 'SIGTERM');
    throw thrown(signal.reason);
  });
  return command;
}

test('an evaluation that was asked to end has the code of that, and tells what else went wrong', async () => {
  expect((await asked((reason) => reason)).getOptionValue('exitCode')).toBe(143);
  await expect(asked(() => new Error('the disk is full'))).rejects.toThrow('the disk is full');
});

const problem = {
  task_id: 'own/1',
  prompt: 'def add1(x):\n',
  entry_point: 'add1',
  canonical_solution: '    return x + 1\n',
  test: 'def check(candidate):\n    assert candidate(1) == 2\n',
};

test
  .skipIf(withoutSandbox || process.getuid?.() !== 0)
  .each([(data: string) => [data], (data: string) => ['humaneval', '--data', data]])(
  'no program sees the data, the samples or the results, wherever they lie',
  async (benchmark) => {
    // Python's own folder, which its boxes have.
    const modules = execFileSync('/usr/bin/python3', [
      '-c',
      'import os; print(os.path.dirname(os.__file__))',
    ]);
    const folder = mkdtempSync(join(modules.toString().trim(), 'flex-eval-'));
    chmodSync(folder, 0o755);
    try {
      const [seen, data, samples, out] = ['seen', 'own.jsonl', 'samples.jsonl', 'out'].map((name) =>
        join(folder, name),
      );
      writeFileSync(seen, '', { mode: 0o644 });
      writeFileSync(data, `${JSON.stringify(problem)}\n`, { mode: 0o644 });
      const hidden = JSON.stringify([data, samples, join(out, 'judgements.jsonl')]);
      const completion = `    import os
    content = [path for path in ${hidden} if os.path.isfile(path) and open(path).read()]
    return x + 1 if os.path.exists('${seen}') and not content else content
`;
      writeFileSync(samples, `${JSON.stringify({ task_id: 'own/1', completion })}\n`, { mode: 0o644 });
      const { code } = await flex(
        'eval',
        '--benchmark',
        ...benchmark(data),
        '--samples',
        samples,
        '--out',
        out,
      );
      expect(code).toBe(0);
      expect(JSON.parse(readFileSync(join(out, 'samples.jsonl'), 'utf8'))).toMatchObject({
        verdict: 'passed',
      });
      const { protocol_parts } = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
      expect(protocol_parts.processors).toBe(4);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
