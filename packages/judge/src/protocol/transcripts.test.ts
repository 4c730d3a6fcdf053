import { ConfigError, DataError } from '@flex/base';
import { describe, expect, test } from 'vitest';
import { limitsOf } from '../judge.ts';
import { type LanguageId, languageOf } from '../languages/index.ts';
import type { BoxOptions, Sandbox } from '../sandbox/box.ts';
import { machineSandbox } from '../testing/without-sandbox.ts';
import { toolchainOf } from '../toolchain.ts';
import type { Failure, Finding, Verdict } from '../verdict.ts';
import { judgeTranscripts } from './transcripts.ts';

const sandbox = await machineSandbox();
const withoutGo = sandbox === null || (await toolchainOf(languageOf('go'))).missing !== null;

type Cases = readonly (readonly [input: string, output: string])[];
const doubles: Cases = [
  ['1\n', '2\n'],
  ['21', '42'],
  ['-3', '-6'],
];

interface Watched {
  readonly finding: Finding;
  readonly boxes: readonly BoxOptions[];
}

/** Judges a program, and remembers what boxes it was given. */
async function judge(
  source: string,
  cases: Cases = doubles,
  language: LanguageId = 'py',
  timeout: number | null = null,
): Promise<Watched> {
  const boxes: BoxOptions[] = [];
  const watched: Sandbox = {
    ...sandbox!,
    open(options) {
      boxes.push(options);
      return sandbox!.open(options);
    },
  };
  const tests = { kind: 'transcripts', cases: cases.map(([input, output]) => ({ input, output })) } as const;
  const conditions = {
    sandbox: watched,
    lane: 2,
    language: languageOf(language),
    limits: limitsOf(language, timeout),
  };
  return { finding: await judgeTranscripts({ source, tests }, conditions), boxes };
}

function expectEnd({ finding }: Watched, verdict: Verdict, failure: Failure | null, detail: string): void {
  expect(finding, finding.detail).toMatchObject({ verdict, failure });
  expect(finding.detail).toContain(detail);
}

describe.skipIf(sandbox === null)('a Python program', () => {
  test('that answers every input passes, with a fresh box for each', async () => {
    const watched = await judge('print(2 * int(input()))');
    expectEnd(watched, 'passed', null, '');
    expect(watched.boxes).toHaveLength(3);
  });

  test('leaves nothing for the next case', async () => {
    const source = 'import os\nprint(2 * int(input()) + len(os.listdir("/tmp")))\nopen("/tmp/x", "w")';
    expectEnd(await judge(source), 'passed', null, '');
  });

  test('never has the expected output in its box', async () => {
    const { boxes } = await judge('print(2 * int(input()))', [['2', '4444']]);
    expect(JSON.stringify(boxes.map(({ command, files }) => [command, String(files)]))).not.toContain('4444');
  });

  test('fails by its first wrong answer, and is run for the rest as if it had been right', async () => {
    const watched = await judge('print(min(2 * int(input()), 40))');
    expectEnd(watched, 'failed', 'assertion', 'case 2 of 3: printed "40" where "42" is expected');
    expect(watched.boxes).toHaveLength(3);
    const wrong = await judge('print(1)', [...doubles, ['x', '']]);
    expectEnd(wrong, 'failed', 'assertion', 'case 1 of 4: printed "1" where "2" is expected');
    expect(wrong.boxes).toHaveLength(4);
  });

  test('is not run for the rest where it ended otherwise, and fails by what was wrong before', async () => {
    const watched = await judge('x = int(input())\nassert x < 5\nprint(0)');
    expectEnd(watched, 'failed', 'assertion', 'case 1 of 3: printed "0" where "2" is expected');
    expect(watched.boxes).toHaveLength(2);
  });

  test('that prints nothing, or everything, fails', async () => {
    expectEnd(await judge('pass'), 'failed', 'assertion', 'case 1 of 3: printed ""');
    expectEnd(await judge('print(2, 42, -6)'), 'failed', 'assertion', 'case 1 of 3');
  });

  test('that raises fails, even after a right answer', async () => {
    const source = 'print(2 * int(input()))\nassert False, "late"';
    expectEnd(await judge(source), 'failed', 'exception', 'case 1 of 3: AssertionError: late');
    expectEnd(await judge('print(2 * int(input()))\nexit(3)'), 'failed', 'exception', 'ended with code 3');
  });

  test('that does not parse is a compile error; one that fails to parse a text is not', async () => {
    expectEnd(await judge('print(2 *'), 'compile_error', 'compile', "'(' was never closed");
    expectEnd(await judge('eval("2 *")'), 'failed', 'exception', 'SyntaxError');
  });

  test('may return at its top level, as where a judge makes a function of it', async () => {
    const source =
      'import math\ndef twice(n):\n    return n * factor\nfactor = 2\nprint(twice(int(input())))\nreturn 5';
    expectEnd(await judge(source), 'passed', null, '');
    const global =
      'from math import *\nn = int(input())\ndef g():\n    global n\n    n += int(floor(n))\ng()\nprint(n)\nreturn';
    expectEnd(await judge(global), 'passed', null, '');
    expectEnd(await judge('x = 1\nif x:\n    return\nprint(2 *'), 'compile_error', 'compile', 'never closed');
    const failing = 'x = int(input())\nif x < 0:\n    return\nprint(1 / 0)';
    expectEnd(await judge(failing), 'failed', 'exception', 'ZeroDivisionError');
  });

  test('may end by exit(), is the main module, and sees the standard library alone', async () => {
    const source = `import dataclasses, sys, __main__
assert __name__ == '__main__' and sys.argv and not any('packages' in path for path in sys.path)
@dataclasses.dataclass
class Twice:
    number: 'int'
assert __main__.Twice is Twice
print(2 * Twice(int(input())).number)
exit()`;
    expectEnd(await judge(source), 'passed', null, '');
  });

  test('has the limit of seconds for all cases together', async () => {
    const source = 'import time\ntime.sleep(1.5)\nprint(2 * int(input()))';
    const started = performance.now();
    const watched = await judge(source, doubles, 'py', 2.5);
    expectEnd(watched, 'timeout', 'never-stopped', 'did not end within its time limit');
    expect(watched.boxes.length).toBeLessThanOrEqual(3);
    expect(performance.now() - started).toBeLessThan(5000);
    const [first, second] = watched.boxes.map(({ limits }) => limits.wallSeconds);
    expect(first).toBe(2.5);
    expect(second).toBeLessThan(1.01);
  });

  test('has the processor seconds for all cases together, too', async () => {
    const { boxes } = await judge('sum(range(10**7))\nprint(2 * int(input()))', doubles, 'py', 9);
    const [first, second, third] = boxes.map(({ limits }) => limits.cpuSeconds);
    expect(first).toBe(9);
    expect(second).toBeLessThan(first);
    expect(third).toBeLessThan(second);
  });

  test('meets the limits of memory and output', async () => {
    expectEnd(await judge('x = [0] * 2 * 10**9'), 'memory', 'memory', 'case 1 of 3: MemoryError');
    expectEnd(await judge('while True: print("x" * 9999)'), 'output_limit', 'output', 'case 1 of 3');
  });

  test('can print more than a box keeps, in Unicode', async () => {
    const output = 'é'.repeat(300_000);
    expectEnd(await judge('print("é" * 300000)', [['', output]]), 'passed', null, '');
    expectEnd(await judge('print("é" * 299999)', [['', output]]), 'failed', 'assertion', '…');
  });

  test('can take a large input, or leave it', async () => {
    const input = `${'7 '.repeat(500_000)}\n`;
    expectEnd(await judge('print(len(input().split()))', [[input, '500000']]), 'passed', null, '');
    expectEnd(await judge('print(1)', [[input, '1']]), 'passed', null, '');
  });
});

test.skipIf(sandbox === null)('a program without cases is refused, as it would always pass', async () => {
  await expect(judge('print(1)', [])).rejects.toThrow(DataError);
});

test.skipIf(withoutGo)('languages whose programs are not whole in one file are refused', async () => {
  await expect(judge('package main', doubles, 'go')).rejects.toThrow(ConfigError);
});
