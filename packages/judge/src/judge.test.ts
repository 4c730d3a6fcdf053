import { describe, expect, test } from 'vitest';
import { judge } from './judge.ts';
import type { Program, Tests } from './program.ts';
import { withoutSandbox } from './testing/without-sandbox.ts';
import { passed } from './verdict.ts';

const program = (tests: Tests, source = 'def f(x): return 2 * x\n'): Program => ({
  language: 'py',
  source,
  tests,
});
const code = 'assert f(2) == 4';
const calls = { kind: 'python-calls', setup: '', code, entryPoints: ['f'], inProcess: `\n${code}` } as const;

describe.skipIf(withoutSandbox)('a program becomes a judgement', () => {
  test('that says whether its tests ran in its own process, and how long it took', async () => {
    const apart = await judge(program(calls));
    expect(apart).toEqual({ ...passed, assurance: 'isolated', seconds: expect.any(Number) });
    expect(apart.seconds).toBeGreaterThan(0);
    const together = await judge(program({ kind: 'appended', code: `\n${code}` }));
    expect(together).toEqual({ ...passed, assurance: 'in-process', seconds: expect.any(Number) });
    const cases = [{ input: '2', output: '4' }];
    const printed = await judge(program({ kind: 'transcripts', cases }, 'print(2 * int(input()))'));
    expect(printed).toEqual({ ...passed, assurance: 'isolated', seconds: expect.any(Number) });
  });

  test('within the seconds that it is given', async () => {
    const { verdict, seconds } = await judge(program(calls, 'def f(x):\n  while True: pass\n'), {
      timeout: 0.5,
    });
    expect(verdict).toBe('timeout');
    expect(seconds).toBeLessThan(5);
  });

  test('unless its language or its tests are unknown', async () => {
    const unknown = { ...program(calls), language: 'cobol' } as unknown as Program;
    await expect(judge(unknown)).rejects.toThrow('language: unknown id "cobol"');
    await expect(judge(program({ kind: 'magic' } as unknown as Tests))).rejects.toThrow(
      'judge: unknown tests',
    );
  });
});
