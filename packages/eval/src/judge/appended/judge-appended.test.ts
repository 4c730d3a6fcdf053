import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formats } from '@flex/datasets';
import { describe, expect, test } from 'vitest';
import { DataError } from '../../errors.ts';
import { type Language, languages } from '../../language.ts';
import { machineSandbox } from '../../testing/describe-sandbox.ts';
import { allToolchains } from '../../toolchain.ts';
import type { Failure, Judgement, Verdict } from '../../verdict.ts';
import { limitsOf } from '../judge.ts';
import { type Bodies, examplePrograms } from './example-programs.ts';
import { exampleSolutions } from './example-solutions.ts';
import { judgeAppended, runners } from './judge-appended.ts';

const data = join(import.meta.dirname, '../../../../../../shared/data/multipl-e');
const sandbox = await machineSandbox();
const missing = new Map((await allToolchains()).map((found) => [found.language, found.missing]));
/** Languages that cannot run here. */
const absent = (language: Language) => sandbox === null || missing.get(language) !== null;

const freeLanes = [0, 1];
const waiting: (() => void)[] = [];

/** Judges a program, two at a time. */
async function judge(
  language: Language,
  source: string,
  code: string,
  timeout: number | null = null,
): Promise<Judgement> {
  while (freeLanes.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
  const lane = freeLanes.pop()!;
  try {
    const program = { language, source, tests: { kind: 'appended', code } } as const;
    return await judgeAppended({ sandbox: sandbox!, lane }, program, limitsOf(language, timeout));
  } finally {
    freeLanes.push(lane);
    waiting.shift()?.();
  }
}

async function judgeBody(language: Language, kind: keyof Bodies, timeout?: number): Promise<Judgement> {
  const { source, tests, bodies } = examplePrograms[language];
  return await judge(language, source(bodies[kind]), tests, timeout);
}

function expectEnd(judgement: Judgement, verdict: Verdict, failure: Failure | null): void {
  expect(judgement, judgement.detail).toMatchObject({ verdict, failure, assurance: 'in-process' });
  expect(judgement.detail === '').toBe(verdict === 'passed');
}

const ends: readonly [claim: string, kind: keyof Bodies, Verdict, Failure | null][] = [
  ['a right program passes', 'right', 'passed', null],
  ['a wrong one fails by an assertion', 'wrong', 'failed', 'assertion'],
  ['one that raises fails by an exception', 'raises', 'failed', 'exception'],
  ['one that exits with 0 before its tests end fails, whatever it finds', 'exits', 'failed', 'exited'],
  ['one that does not compile is a compile error', 'broken', 'compile_error', 'compile'],
];

/** What is judged of languages whose compilers take seconds. */
const ofSlow: readonly (keyof Bodies)[] = ['right', 'exits', 'broken'];
const isSlow = (language: Language) => language === 'ts' || language === 'go';

for (const language of languages) {
  describe.skipIf(absent(language)).concurrent(`in ${language}`, () => {
    const judged = ends.filter(([, kind]) => !isSlow(language) || ofSlow.includes(kind));
    test.each(judged)('%s', async (_, kind, verdict, failure) => {
      expectEnd(await judgeBody(language, kind), verdict, failure);
    });
    test.skipIf(language === 'ts')('an endless loop is stopped', async () => {
      const judgement = await judgeBody(language, 'loops', 0.5);
      expect(judgement, judgement.detail).toMatchObject({ verdict: 'timeout', assurance: 'in-process' });
    });
  });
}

describe.skipIf(absent('py')).concurrent('a Python program', () => {
  const tests = '\nassert f() == 1\n';
  const ending = (body: string, timeout?: number) => judge('py', `def f():\n    ${body}\n`, tests, timeout);
  test('that sleeps never stopped', async () => {
    expectEnd(await ending('import time; time.sleep(60)', 1.5), 'timeout', 'never-stopped');
  });
  test('that takes too much memory is told from one that raises', async () => {
    expectEnd(await ending('return len([0] * 10**9)'), 'memory', 'memory');
  });
  test('that prints without end meets its output limit', async () => {
    expectEnd(await ending('while True: print("x" * 9999)'), 'output_limit', 'output');
  });
  test('that prints more than is kept before its tests end can pass', async () => {
    expectEnd(await ending('print("x" * 10**6); return 1'), 'passed', null);
  });
  test('finds nothing on standard input', async () => {
    expectEnd(await ending('import sys; return 1 if sys.stdin.read() == "" else 0'), 'passed', null);
  });
  test('is the main program, with what `site` gives it', async () => {
    const body = 'import __main__; return 1 if callable(exit) and __main__.f is f else 0';
    expectEnd(await ending(body), 'passed', null);
  });
  test('that fails after its tests does not pass', async () => {
    expectEnd(
      await ending('import atexit, os; atexit.register(os._exit, 3); return 1'),
      'failed',
      'exception',
    );
  });
});

test.skipIf(absent('js'))('a runtime that reserves memory can use what its limit allows', async () => {
  const source = 'const held = Buffer.alloc(700 * 2 ** 20, 1);\n';
  expectEnd(await judge('js', source, '\nif (held.at(-1) !== 1) throw 1;'), 'passed', null);
});

describe.concurrent('at the end of the tests', () => {
  test.skipIf(absent('sh'))('the exit code of the last command counts, without `set -e`', async () => {
    expectEnd(await judge('sh', 'true\n', '\nfalse'), 'failed', 'assertion');
    expectEnd(await judge('sh', 'false\n', '\ntrue'), 'passed', null);
  });
  test.skipIf(absent('js'))('leaving the program early by `return` is no pass', async () => {
    expectEnd(await judge('js', 'return;\n', '\nthrow 1;'), 'failed', 'exited');
  });
  test.skipIf(absent('php'))('what a program closes as PHP is not printed as a nonce', async () => {
    expectEnd(await judge('php', '<?php ?>\n', '\nthrow new Exception();'), 'failed', 'exited');
    expectEnd(await judge('php', '<?php\n', '\n?>\n'), 'passed', null);
  });
  test.skipIf(absent('pl'))('nothing after `__END__` is a pass', async () => {
    expectEnd(await judge('pl', '\n__END__\n', '\nexit 1;'), 'failed', 'exited');
  });
  test.skipIf(absent('cpp'))('a `return 0` is not in the way', async () => {
    expectEnd(await judge('cpp', 'int f() { return 1; }\n', 'int main() { return 0; }'), 'passed', null);
  });
  test.skipIf(absent('go'))('a program of no package is a compile error', async () => {
    expectEnd(await judge('go', 'func f() {}\n', ''), 'compile_error', 'compile');
  });
  test.skipIf(absent('cpp'))('a signal is named', async () => {
    const judgement = await judge('cpp', '#include <csignal>\n', 'int main() { std::raise(SIGSEGV); }');
    expect(judgement).toMatchObject({ failure: 'exception', detail: 'killed by SIGSEGV' });
  });
  test.skipIf(absent('rkt'))("names that the program defines are not taken for the judge's own", async () => {
    const code = '\n(require rackunit)\n(check-equal? (car 1) 2)\n';
    expectEnd(await judge('rkt', '#lang racket\n(define (car x) 0)\n', code), 'failed', 'assertion');
  });
});

test('tests of another shape are refused, where a main function is needed', async () => {
  for (const language of ['cpp', 'rs', 'java'] as const) {
    expect(() => runners[language].seal({ source: 'f', code: '' }, 'nonce')).toThrow(DataError);
    const open = { source: '', code: 'fn main() { void main() {' };
    expect(() => runners[language].seal(open, 'nonce')).toThrow(DataError);
  }
});

describe.skipIf(!existsSync(data))("MultiPL-E's problems", () => {
  const rowsOf = (language: Language) =>
    readFileSync(join(data, `humaneval-${language}.jsonl`), 'utf8')
      .trim()
      .split('\n')
      .map((line, i) =>
        formats.multiplE.read({ value: JSON.parse(line), where: `line ${i + 1}`, text: line }),
      );

  test.each(languages.filter((language) => language !== 'py'))(
    'in %s all have tests that can end',
    (language) => {
      const rows = rowsOf(language);
      expect(rows.length).toBeGreaterThan(150);
      for (const { prompt, tests } of rows) {
        const whole = `${prompt}\n${tests}`;
        const sealed = runners[language].seal({ source: prompt, code: `\n${tests}` }, 'nonce');
        expect(sealed.length).toBeGreaterThanOrEqual(whole.length - 'os.exit()'.length);
      }
    },
  );

  for (const [language, solutions] of Object.entries(exampleSolutions) as [
    Language,
    Record<string, string>,
  ][]) {
    describe.skipIf(absent(language)).concurrent(`in ${language}`, () => {
      test.each(Object.entries(solutions))('%s passes when solved', async (id, completion) => {
        const row = rowsOf(language).find((known) => known.id === id)!;
        expectEnd(await judge(language, row.prompt + completion, `\n${row.tests}`), 'passed', null);
      });
    });
  }
});
