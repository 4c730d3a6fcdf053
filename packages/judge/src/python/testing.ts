import { afterAll } from 'vitest';
import type { Sandbox } from '../sandbox/box.ts';
import { defaultLimits, type Limits } from '../sandbox/limits.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import type { Finding } from '../verdict.ts';
import { openPythonJudge, type PythonJudge } from './python-judge.ts';

interface Case {
  readonly setup?: string;
  readonly entryPoints?: readonly string[];
  readonly limits?: Partial<Limits>;
}

let judge: PythonJudge | null = null;
let sandbox: Sandbox;
afterAll(() => judge?.close());

/** Judges a candidate by tests of its function f. */
export async function judged(source: string, code: string, options: Case = {}): Promise<Finding> {
  const { setup = '', entryPoints = ['f'], limits } = options;
  sandbox ??= await openSandbox();
  judge ??= openPythonJudge({ sandbox, lane: 0 });
  const tests = { kind: 'python-calls', setup, code, entryPoints, inProcess: '' } as const;
  return await judge.judge(
    { language: 'py', source, tests },
    { ...defaultLimits, wallSeconds: 5, ...limits },
  );
}

export const failed = (failure: string, detail: unknown) => ({ verdict: 'failed', failure, detail });
export const double = 'def f(x):\n    return 2 * x\n';
