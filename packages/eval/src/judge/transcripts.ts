import type { Program, Transcripts } from '../benchmark.ts';
import { sameOutput } from '../benchmarks/same-output.ts';
import { ConfigError, DataError } from '../errors.ts';
import type { Limits } from '../sandbox/limits.ts';
import { toolchainVersions } from '../toolchain.ts';
import type { Judgement } from '../verdict.ts';
import { compile } from './appended/compile.ts';
import { type Finding, findingOfEnd, passed } from './appended/finding.ts';
import { limitsFor, runners } from './appended/judge-appended.ts';
import { type Place, runBox } from './appended/run-box.ts';
import type { Plain, Signs } from './appended/runner.ts';
import { oneLine } from './one-line.ts';

/**
 * Judges a program by what it prints for given inputs, each in a fresh box; the expected output is never
 * there, so the program can only pass by printing it. All cases together have the limits' seconds; judging
 * stops at the first that fails. A case passes if the program ends with exit code 0 and `sameOutput` holds.
 *
 * Python programs have `exit` and `quit`, which those of contests call, and the standard library alone. Throws
 * ConfigError where the language's toolchain is missing or its programs cannot be run this way (Java, Go),
 * and DataError where there is no case.
 */
export async function judgeTranscripts(
  place: Place,
  program: Program & { readonly tests: Transcripts },
  limits: Limits,
): Promise<Judgement> {
  await toolchainVersions([program.language]);
  const started = performance.now();
  const finding = await check(place, program, limits);
  return { ...finding, assurance: 'isolated', seconds: (performance.now() - started) / 1000 };
}

async function check(
  place: Place,
  { language, source, tests: { cases } }: Program & { readonly tests: Transcripts },
  limits: Limits,
): Promise<Finding> {
  if (cases.length === 0) throw new DataError('tests: a program must have at least one input and output');
  const runner = runners[language];
  const { plain, compiler } = runner;
  if (plain === null) {
    throw new ConfigError(`${language} programs cannot be judged by their standard input and output`);
  }
  const program = compiler ? await compile(place, compiler, source) : Buffer.from(source);
  if (!Buffer.isBuffer(program)) return program;

  const left = limitsFor(runner, limits);
  const signs = plainSigns(runner.signs, plain);
  let [seconds, cpuSeconds] = [0, 0];
  for (const [i, { input, output }] of cases.entries()) {
    const parts: Buffer[] = [];
    const end = await runBox(place, {
      // Standard input is a file: what Node makes, a socket, cannot be opened as /dev/stdin.
      command: ['/bin/sh', '-c', 'exec "$@" </flex/input', 'sh', ...plain.command],
      files: { [plain.path]: program, '/flex/input': input },
      limits: {
        ...left,
        wallSeconds: Math.max(left.wallSeconds - seconds, 0),
        cpuSeconds: Math.max(left.cpuSeconds - cpuSeconds, 0),
      },
      stdin: '',
      onOutput: (chunk) => parts.push(chunk),
    });
    seconds += end.seconds;
    cpuSeconds += end.cpuSeconds;
    const printed = Buffer.concat(parts).toString();
    const where = `case ${i + 1} of ${cases.length}`;
    if (end.code !== 0 || end.stopped !== null) {
      const finding = findingOfEnd({ ...end, seconds, cpuSeconds }, signs, printed);
      return { ...finding, detail: oneLine(`${where}: ${finding.detail}`) };
    }
    if (!sameOutput(printed, output)) {
      const detail = `${where}: printed ${shown(printed)} where ${shown(output)} is expected`;
      return { verdict: 'failed', failure: 'assertion', detail };
    }
  }
  return passed;
}

/** A failed assertion is the program's own here, and no driver tells by an exit code what does not parse. */
function plainSigns({ unparsable, line }: Signs, plain: Plain): Signs {
  return { unparsable: plain.unparsable ?? (typeof unparsable === 'number' ? undefined : unparsable), line };
}

function shown(output: string): string {
  const line = oneLine(output);
  return JSON.stringify(line.length <= 60 ? line : `${line.slice(0, 59)}…`);
}
