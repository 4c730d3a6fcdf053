import { randomBytes } from 'node:crypto';
import type { Language } from '../language.ts';
import type { Appended, Program } from '../program.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { keepText } from '../sandbox/kept-text.ts';
import type { Limits } from '../sandbox/limits.ts';
import { runBox } from '../sandbox/run-box.ts';
import { toolchainVersion } from '../toolchain.ts';
import { type Finding, passed } from '../verdict.ts';
import { compile } from './compile.ts';
import { findLine } from './find-line.ts';
import { findingOfEnd } from './finding.ts';

/** Under what conditions a program is judged. */
export interface Conditions {
  readonly sandbox: Sandbox;
  readonly lane: number;
  readonly language: Language;
  readonly limits: Limits;
}

/** Bytes of standard output that are looked through for why a program failed. */
const keptBytes = 64 * 1024;

/**
 * Judges a program whose tests run in the candidate's own process. A pass needs exit code 0, no limit
 * reached, and a line of standard output that is exactly a random nonce, which is printed after the tests.
 *
 * This cannot be sound: the candidate shares a process with its tests, so it can replace what they call, or
 * search its own memory for the nonce, and every judgement says `in-process`. What holds is that a candidate
 * does not pass by ending before its tests do, with whatever exit code, nor by printing all it can read: the
 * nonce is new each time, in no file, argument or environment variable of the box, and nothing of it is left
 * on standard input when the tests begin.
 *
 * A compiled program is compiled first, in a box of its own, with 20 seconds of its own (Go: 60); the limits
 * are those of the run. Throws ConfigError where the language's toolchain is missing, and DataError for tests
 * that do not end as the language's must.
 */
export async function judgeAppended(
  { source, tests }: Pick<Program<Appended>, 'source' | 'tests'>,
  { sandbox, lane, language, limits }: Conditions,
): Promise<Finding> {
  await toolchainVersion(language);
  const nonce = randomBytes(16).toString('hex');
  const text = language.seal({ source, code: tests.code }, nonce);
  const result = await compile(text, { sandbox, lane, language });
  if (!Buffer.isBuffer(result)) return result;

  const { command, files } = language.sealed(text);
  const finder = findLine(nonce);
  const kept = keepText(keptBytes);
  const end = await runBox({
    sandbox,
    lane,
    command,
    reads: language.reads,
    files: language.readsNonce ? { '/flex/program': result } : files,
    limits: limitsIn(language, limits),
    stdin: language.readsNonce ? `${nonce}\n` : result,
    onOutput(chunk) {
      finder.push(chunk);
      kept.push(chunk);
    },
  });
  if (finder.found && end.code === 0 && end.stopped === null) return passed;
  return findingOfEnd(end, language.signs, kept.text());
}

/** The limits as the language's runtime can bear them. */
export function limitsIn({ reserves }: Language, limits: Limits): Limits {
  return reserves ? { ...limits, addressSpaceBytes: null } : limits;
}
