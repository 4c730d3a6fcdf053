import { judgeCpp } from './cpp/cpp-judge.ts';
import { openJavaJudge } from './java/java-judge.ts';
import { judgeJavaScript } from './javascript/javascript-judge.ts';
import { type LanguageId, languageOf } from './languages/index.ts';
import type { Program } from './program.ts';
import { judgeAppended } from './protocol/appended.ts';
import { judgeTranscripts } from './protocol/transcripts.ts';
import { openPythonJudge } from './python/python-judge.ts';
import type { Sandbox } from './sandbox/box.ts';
import { defaultLimits, type Limits } from './sandbox/limits.ts';
import { openSandbox } from './sandbox/sandbox.ts';
import type { Finding, Judgement } from './verdict.ts';

/** Judges programs one at a time; what it keeps warm for that is its own. */
export interface Judge {
  /** Throws HarnessError where judging itself failed; that is never a verdict. */
  judge(program: Program): Promise<Judgement>;
  close(): Promise<void>;
}

export interface JudgeOptions {
  readonly sandbox: Sandbox;
  /** Judges that work at the same time need different lanes, from 0. */
  readonly lane: number;
  /**
   * Wall-clock and processor seconds of one program's whole check, and processor seconds of each compilation
   * in Java; null takes each language's own.
   */
  readonly timeout: number | null;
}

/**
 * The judge's word on one program. `timeout` is as in JudgeOptions; for many programs `judgeAll` is faster.
 * Throws SandboxError where no safe box can be made, ConfigError where the language's toolchain is missing,
 * and HarnessError where judging itself failed.
 */
export async function judge(
  program: Program,
  { timeout = null }: { readonly timeout?: number | null } = {},
): Promise<Judgement> {
  const opened = openJudge({ sandbox: await openSandbox(), lane: 0, timeout });
  try {
    return await opened.judge(program);
  } finally {
    await opened.close();
  }
}

/** What a program of this language may use. */
export function limitsOf(id: LanguageId, timeout: number | null): Limits {
  const { limits = defaultLimits } = languageOf(id);
  return timeout === null ? limits : { ...limits, wallSeconds: timeout, cpuSeconds: timeout };
}

/** A judge of programs in every language. */
export function openJudge({ sandbox, lane, timeout }: JudgeOptions): Judge {
  const python = openPythonJudge({ sandbox, lane });
  // A JDK is looked for where there is Java to judge.
  let java: ReturnType<typeof openJavaJudge> | null = null;

  function findingOf(program: Program): Promise<Finding> {
    const { tests } = program;
    const limits = limitsOf(program.language, timeout);
    // Each judge numbers four boxes a lane; programs in one process take that of the Python candidate.
    const conditions = { sandbox, lane: 4 * lane + 1, limits, language: languageOf(program.language) };
    switch (tests.kind) {
      case 'python-calls':
        return python.judge({ ...program, tests }, limits);
      case 'java-calls':
        java ??= openJavaJudge({ sandbox, lane, timeout });
        return java.judge({ ...program, tests }, limits);
      case 'javascript-calls':
        return judgeJavaScript({ ...program, tests }, { sandbox, lane: 4 * lane, limits });
      case 'cpp-calls':
        return judgeCpp({ ...program, tests }, { sandbox, lane: 4 * lane, limits });
      case 'transcripts':
        return judgeTranscripts({ ...program, tests }, conditions);
      case 'appended':
        return judgeAppended({ ...program, tests }, conditions);
      default:
        throw new TypeError(`judge: unknown tests ${JSON.stringify(tests)}`);
    }
  }

  return {
    async judge(program) {
      const started = performance.now();
      const finding = await findingOf(program);
      const assurance = program.tests.kind === 'appended' ? 'in-process' : 'isolated';
      return { ...finding, assurance, seconds: (performance.now() - started) / 1000 };
    },
    async close() {
      await Promise.all([python.close(), java?.close()]);
    },
  };
}

/**
 * The same check with the tests in the candidate's own process, for a problem that isolation cannot express;
 * null where the tests run there already or cannot.
 */
export function inProcess({ language, source, tests }: Program): Program | null {
  switch (tests.kind) {
    case 'python-calls':
      return { language, source, tests: { kind: 'appended', code: tests.inProcess } };
    case 'java-calls':
      return tests.whole === null
        ? null
        : { language, source: tests.whole, tests: { kind: 'appended', code: '' } };
    case 'javascript-calls':
      return { language, source, tests: { kind: 'appended', code: `\n${tests.code}` } };
    case 'cpp-calls':
      return { language, source, tests: { kind: 'appended', code: tests.code } };
    default:
      return null;
  }
}
