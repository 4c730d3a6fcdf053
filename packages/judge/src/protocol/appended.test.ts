import { DataError } from '@flex/base';
import { describe, expect, test } from 'vitest';
import { limitsOf } from '../judge.ts';
import { type LanguageId, languageOf } from '../languages/index.ts';
import { machineSandbox } from '../testing/without-sandbox.ts';
import { allToolchains } from '../toolchain.ts';
import type { Failure, Finding, Verdict } from '../verdict.ts';
import { judgeAppended } from './appended.ts';

const sandbox = await machineSandbox();
const missing = new Map((await allToolchains()).map((found) => [found.language, found.missing]));
/** Languages that cannot run here. */
const absent = (language: LanguageId) => sandbox === null || missing.get(language) !== null;

const freeLanes = [0, 1];
const waiting: (() => void)[] = [];

/** Judges a program, two at a time. */
async function judge(
  language: LanguageId,
  source: string,
  code: string,
  timeout: number | null = null,
): Promise<Finding> {
  while (freeLanes.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
  const lane = freeLanes.pop()!;
  try {
    const limits = limitsOf(language, timeout);
    const conditions = { sandbox: sandbox!, lane, language: languageOf(language), limits };
    return await judgeAppended({ source, tests: { kind: 'appended', code } }, conditions);
  } finally {
    freeLanes.push(lane);
    waiting.shift()?.();
  }
}

function expectEnd(finding: Finding, verdict: Verdict, failure: Failure | null): void {
  expect(finding, finding.detail).toMatchObject({ verdict, failure });
  expect(finding.detail === '').toBe(verdict === 'passed');
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
    const finding = await judge('cpp', '#include <csignal>\n', 'int main() { std::raise(SIGSEGV); }');
    expect(finding).toMatchObject({ failure: 'exception', detail: 'killed by SIGSEGV' });
  });
  test.skipIf(absent('rkt'))("names that the program defines are not taken for the judge's own", async () => {
    const code = '\n(require rackunit)\n(check-equal? (car 1) 2)\n';
    expectEnd(await judge('rkt', '#lang racket\n(define (car x) 0)\n', code), 'failed', 'assertion');
  });
});

test('tests of another shape are refused, where a main function is needed', async () => {
  for (const language of ['cpp', 'rs', 'java'] as const) {
    expect(() => languageOf(language).seal({ source: 'f', code: '' }, 'nonce')).toThrow(DataError);
    const open = { source: '', code: 'fn main() { void main() {' };
    expect(() => languageOf(language).seal(open, 'nonce')).toThrow(DataError);
  }
});
