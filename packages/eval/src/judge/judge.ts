import type { Appended, JavaCalls, Program, PythonCalls, Tests, Transcripts } from '../benchmark.ts';
import type { Language } from '../language.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { defaultLimits, javaLimits, type Limits } from '../sandbox/limits.ts';
import type { Judgement } from '../verdict.ts';
import { judgeAppended } from './appended/judge-appended.ts';
import { type JavaJudge, openJavaJudge } from './java/java-judge.ts';
import { openPythonJudge } from './python/python-judge.ts';
import { judgeTranscripts } from './transcripts.ts';

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
  /** Wall-clock and processor seconds of one program's whole check; null takes each language's own. */
  readonly timeout: number | null;
}

/** What a program of this language may use. */
export function limitsOf(language: Language, timeout: number | null): Limits {
  const limits = language === 'java' ? javaLimits : defaultLimits;
  return timeout === null ? limits : { ...limits, wallSeconds: timeout, cpuSeconds: timeout };
}

/** A judge of programs in every language. */
export function openJudge({ sandbox, lane, timeout }: JudgeOptions): Judge {
  const python = openPythonJudge({ sandbox, lane });
  // A JDK is looked for where there is Java to judge.
  let java: JavaJudge | null = null;
  // Each judge numbers four boxes a lane; those of one process take the candidate's.
  const place = { sandbox, lane: 4 * lane + 1 };
  return {
    judge(program) {
      const limits = limitsOf(program.language, timeout);
      if (has(program, 'python-calls')) return python.judge(program, limits);
      if (has(program, 'java-calls')) {
        java ??= openJavaJudge({ sandbox, lane });
        return java.judge(program, limits);
      }
      if (has(program, 'transcripts')) return judgeTranscripts(place, program, limits);
      if (has(program, 'appended')) return judgeAppended(place, program, limits);
      throw new TypeError(`judge: unknown tests ${JSON.stringify(program.tests)}`);
    },
    async close() {
      await Promise.all([python.close(), java?.close()]);
    },
  };
}

interface TestsByKind {
  'python-calls': PythonCalls;
  'java-calls': JavaCalls;
  transcripts: Transcripts;
  appended: Appended;
}

function has<Kind extends Tests['kind']>(
  program: Program,
  kind: Kind,
): program is Program & { readonly tests: TestsByKind[Kind] } {
  return program.tests.kind === kind;
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
    default:
      return null;
  }
}
