import { randomBytes } from 'node:crypto';
import type { Appended, Program } from '../../benchmark.ts';
import type { Language } from '../../language.ts';
import { keepText } from '../../sandbox/kept-text.ts';
import type { Limits } from '../../sandbox/limits.ts';
import { toolchainVersions } from '../../toolchain.ts';
import type { Judgement } from '../../verdict.ts';
import { compile } from './compile.ts';
import { compiled } from './compiled.ts';
import { findLine } from './find-line.ts';
import { type Finding, findingOfEnd, passed } from './finding.ts';
import { interpreted } from './interpreted.ts';
import { type Place, runBox } from './run-box.ts';
import type { Runner } from './runner.ts';

export const runners: Readonly<Record<Language, Runner>> = { ...interpreted, ...compiled };

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
  place: Place,
  program: Program & { readonly tests: Appended },
  limits: Limits,
): Promise<Judgement> {
  await toolchainVersions([program.language]);
  const started = performance.now();
  const finding = await check(place, program, limits);
  return { ...finding, assurance: 'in-process', seconds: (performance.now() - started) / 1000 };
}

async function check(
  place: Place,
  { language, source, tests }: Program & { readonly tests: Appended },
  limits: Limits,
): Promise<Finding> {
  const runner = runners[language];
  const nonce = randomBytes(16).toString('hex');
  const text = runner.seal({ source, code: tests.code }, nonce);
  const result = runner.compiler ? await compile(place, runner.compiler, text) : Buffer.from(text);
  if (!Buffer.isBuffer(result)) return result;

  const { command, files = {} } = runner.sealed(text);
  const needsNonce = runner.input === 'nonce';
  const finder = findLine(nonce);
  const kept = keepText(keptBytes);
  const end = await runBox(place, {
    command,
    files: needsNonce ? { ...files, '/flex/program': result } : files,
    limits: limitsFor(runner, limits),
    stdin: needsNonce ? `${nonce}\n` : result,
    onOutput(chunk) {
      finder.push(chunk);
      kept.push(chunk);
    },
  });
  if (finder.found && end.code === 0 && end.stopped === null) return passed;
  return findingOfEnd(end, runner.signs, kept.text());
}

/** The limits as the language's runtime can bear them. */
export function limitsFor({ reserves, processes = 0 }: Runner, limits: Limits): Limits {
  return {
    ...limits,
    addressSpaceBytes: reserves ? null : limits.addressSpaceBytes,
    processes: Math.max(limits.processes, processes),
  };
}
