import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { type Comparison, encodeResults, encodeSample, protocolHash, sampleRow, score } from '@flex/eval';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { exitCodeOf, messageOf } from '../failure.ts';
import { compareCommand } from './compare.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-compare-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the command in this process; what it wrote, its exit code, and the line of its error. */
async function run(...args: string[]) {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += stripVTControlCharacters(String(text));
      return true;
    }),
  );
  try {
    await compareCommand().exitOverride().parseAsync(args, { from: 'user' });
    return { code: 0, message: '', ...written };
  } catch (error) {
    return { code: exitCodeOf(error), message: messageOf(error, false), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

type Outcome = { readonly passed: boolean; readonly text: string };

/** Writes a result folder with these samples by problem. */
function write(name: string, outcomes: Record<string, Outcome[]>, wallSeconds = 10): string {
  const path = join(folder, name);
  const problems = Object.entries(outcomes).map(([id, samples]) => ({
    id,
    language: 'py' as const,
    samples: samples.map(({ passed, text }) =>
      sampleRow(
        { task_id: id, completion: text },
        { id, language: 'py' },
        {
          verdict: passed ? 'passed' : 'failed',
          failure: passed ? null : 'assertion',
          detail: passed ? '' : 'AssertionError: \u001b[2Jgone',
          assurance: 'isolated',
          seconds: 0.1,
        },
      ),
    ),
  }));
  const parts = { limits: { wallSeconds } };
  const results = { benchmark: 'humaneval', protocol: protocolHash(parts), protocol_parts: parts };
  mkdirSync(path);
  writeFileSync(
    join(path, 'results.json'),
    encodeResults({ ...score(problems, { n: null, k: [], incomplete: 'fail' }), ...results }),
  );
  writeFileSync(
    join(path, 'samples.jsonl'),
    problems.flatMap(({ samples }) => samples.map(encodeSample)).join(''),
  );
  return path;
}

/** One sample for each of 20 problems. */
function singles(passes: (problem: number) => boolean, text: (problem: number) => string = String) {
  const entries = Array.from({ length: 20 }, (_, i) => [`P/${i}`, [{ passed: passes(i), text: text(i) }]]);
  return Object.fromEntries(entries) as Record<string, Outcome[]>;
}

describe('flex compare', () => {
  test('prints the difference, its test, and what could have been shown', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    const b = write(
      'B',
      singles((i) => i < 13),
    );
    const { code, stdout } = await run(a, b, '--no-diff');
    expect(code).toBe(0);
    expect(stdout).toMatch(/pass@1 +│ +20\.0 % │ +65\.0 %/);
    expect(stdout).toContain('B less A: +45.0 points, 95 % interval +25.0 to +65.0');
    expect(stdout).toContain('passed by A alone 0, by B alone 9; exact McNemar test, two-sided: p = 0.0039');
    expect(stdout).toContain(
      'The smallest difference that 20 problems, of which 9 tell A and B apart, could have shown at ' +
        'p ≤ 0.05 is 35.0 points (7 problems net); a true difference of 4',
    );
    expect(stdout.match(/^P\/\d+ \(py\) {2}A failed: .* {2}B passed$/gm)).toHaveLength(9);
    expect(stdout).not.toMatch(/@@|the same text/);
  });
  test('shows the discordant problems as unified diffs, and only these', async () => {
    const lines = (last: string) => `${[...'abcdefgh', last].join('\n')}\n`;
    const a = write(
      'A',
      singles(
        (i) => i !== 3,
        () => lines('x'),
      ),
    );
    const b = write(
      'B',
      singles(
        () => true,
        () => lines('y'),
      ),
    );
    const { stdout } = await run(a, b);
    expect(stdout).toContain('  --- A\n  +++ B\n  @@ -6,4 +6,4 @@\n   f\n   g\n   h\n  -x\n  +y\n');
    expect(stdout.match(/@@ -/g)).toHaveLength(1);
    expect(stdout).toContain('cannot show a difference: no split of fewer than 6');
  });
  test('writes what could steer a terminal as escapes', async () => {
    const a = write(
      'A',
      singles(
        (i) => i !== 0,
        () => 'ok',
      ),
    );
    const b = write(
      'B',
      singles(
        () => true,
        () => 'ok\u001b]0;title\u0007\u202e\r\tend',
      ),
    );
    const { stdout } = await run(a, b);
    expect(stdout).toContain('+ok\\u{1b}]0;title\\u{7}\\u{202e}\\u{d}\tend');
    expect(stdout).toContain('AssertionError: \\u{1b}[2Jgone');
  });
  test('uses the permutation test for several samples a problem, and says why', async () => {
    const several = (passes: number) =>
      Object.fromEntries(
        Array.from({ length: 12 }, (_, i) => [
          `P/${i}`,
          Array.from({ length: 4 }, (_, j) => ({ passed: j < (i + passes) % 5, text: `${j}` })),
        ]),
      );
    const { stdout } = await run(write('A', several(0)), write('B', several(1)));
    expect(stdout).toMatch(
      /A better on 2 problems, B on 10; paired permutation test, two-sided: p = 0\.\d{4}/,
    );
    expect(stdout).toContain("McNemar's test is for one sample a problem");
    expect(stdout).toContain('A 0/4 passed: AssertionError');
  });
  test('--json prints the comparison and nothing else', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    const b = write(
      'B',
      singles((i) => i < 13),
    );
    const { stdout } = await run(a, b, '--json');
    const comparison = JSON.parse(stdout) as Comparison;
    expect(comparison).toMatchObject({ n: 20, only_a: 0, only_b: 9, test: { name: 'mcnemar', p: 2 / 512 } });
    expect(comparison.discordant).toHaveLength(9);
  });
  test('two equal evaluations have no interval', async () => {
    const { stdout } = await run(
      write(
        'A',
        singles((i) => i < 4),
      ),
      write(
        'B',
        singles((i) => i < 4),
      ),
    );
    expect(stdout).toContain('B less A: +0.0 points, no problem tells the two apart');
    expect(stdout).toContain('p = 1.0000');
  });
});

describe('flex compare refuses with exit code 2 and one line', () => {
  test('different protocols, and warns of them with --force', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    const b = write(
      'B',
      singles((i) => i < 13),
      3,
    );
    const refused = await run(a, b);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.message).toContain('limits.wallSeconds: 10 against 3');
    const forced = await run(a, b, '--force');
    expect(forced.code).toBe(0);
    expect(forced.stderr).toContain('the protocols differ: limits.wallSeconds: 10 against 3');
    expect(forced.stdout).toContain('+45.0 points');
  });
  test('a missing folder, and that of a training run', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    expect(await run(a, join(folder, 'nowhere'))).toMatchObject({ code: 2, stdout: '' });
    const training = join(folder, 'run');
    mkdirSync(training);
    for (const name of ['config.yaml', 'metrics.jsonl']) writeFileSync(join(training, name), '');
    const { code, message } = await run(training, a);
    expect(code).toBe(2);
    expect(message).toContain('holds a training run');
  });
  test('one folder alone', async () => {
    expect((await run(folder)).code).toBe(2);
  });
});
