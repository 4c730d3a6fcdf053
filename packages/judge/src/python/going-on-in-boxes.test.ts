import { describe, expect, test } from 'vitest';
import type { Sandbox } from '../sandbox/box.ts';
import { defaultLimits } from '../sandbox/limits.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import type { Finding } from '../verdict.ts';
import { openPythonJudge } from './python-judge.ts';
import { failed, judged } from './testing.ts';

/** Judges a program, and gives the sizes of all that its box was written. */
async function watched(source: string, code: string): Promise<{ finding: Finding; written: number[] }> {
  const real = await openSandbox();
  const written: number[] = [];
  const sandbox: Sandbox = {
    ...real,
    open(options) {
      const box = real.open(options);
      if (!options.command.some((word) => word.endsWith('candidate.pyc'))) return box;
      const write = (bytes: string | Uint8Array) => {
        written.push(bytes.length);
        box.write(bytes);
      };
      return { ...box, ended: box.ended, write };
    },
  };
  const judge = openPythonJudge({ sandbox, lane: 3 });
  const tests = { kind: 'python-calls', setup: '', code, entryPoints: ['f'], inProcess: '' } as const;
  const finding = await judge.judge({ language: 'py', source, tests }, defaultLimits);
  await judge.close();
  return { finding, written };
}

describe.skipIf(withoutSandbox)('a program that guesses', () => {
  const questions = ['f(1, 0.3)', 'f(2, 0.1)', 'f([3])', "f('four')", 'f(5)'];
  const answers = [
    [true, true, true, true, true],
    [false, true, false, true, true],
    [false, false, false, false, false],
  ];
  const code = (expected: readonly boolean[], claim: (question: string, answer: string) => string) =>
    `def check(g):\n${questions
      .map((question, i) => `    ${claim(question.replace('f', 'g'), expected[i] ? 'True' : 'False')}\n`)
      .join('')}check(f)\n`;

  test.each([
    ['statements', (question: string, answer: string) => `assert ${question} == ${answer}`],
    [
      'messages',
      (question: string, answer: string) => `assert ${question} == ${answer}, f"got {${question}}"`,
    ],
    ['objects in lists', (question: string, answer: string) => `assert [${question}, T] == [${answer}, 5]`],
    ['answers in lists', (question: string, answer: string) => `assert [${question}] == [[${answer}, 3]]`],
  ])('is asked the same by all tests, whatever is right: %s', async (_, claim) => {
    for (const value of ['True', '[True, Liar()]']) {
      const source = `class Liar:\n  __eq__ = lambda *_: True\nT = Liar()\ndef f(*x): return ${value}`;
      const runs: { finding: Finding; written: number[] }[] = [];
      for (const expected of answers) runs.push(await watched(source, code(expected, claim)));
      expect(runs[1].written).toEqual(runs[0].written);
      expect(runs[2].written).toEqual(runs[0].written);
      expect(runs[0].written.length).toBeGreaterThan(questions.length);
      expect(runs[2].finding.verdict).toBe('failed');
    }
  });

  test('fails by its first wrong answer, whatever it does when it is asked again', async () => {
    const then = (what: string) =>
      `import os, time\nn = 0\ndef f(x):\n  global n\n  n += 1\n  if n == 3: ${what}\n  return 1`;
    const tests = 'assert f(1) == 1\nassert f(2) == 2  # why\nf(3)\nf(4)';
    for (const what of [
      'os._exit(0)',
      'raise SystemExit',
      'time.sleep(60)',
      'sum(iter(int, 1))',
      '1 / 0',
      'return b"x" * 2**30',
    ]) {
      const finding = await judged(then(what), tests, { limits: { wallSeconds: 1 } });
      expect(finding, what).toEqual({ ...failed('assertion', 'assert f(2) == 2  # why') });
    }
  });
});
