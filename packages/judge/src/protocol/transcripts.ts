import { ConfigError, DataError, oneLine } from '@flex/base';
import type { Plain, Signs } from '../language.ts';
import type { Program, Transcripts } from '../program.ts';
import { runBox } from '../sandbox/run-box.ts';
import { toolchainVersion } from '../toolchain.ts';
import { type Finding, passed } from '../verdict.ts';
import { type Conditions, limitsIn } from './appended.ts';
import { compile } from './compile.ts';
import { findingOfEnd } from './finding.ts';
import { sameOutput } from './same-output.ts';

/**
 * Judges a program by what it prints for given inputs, each in a fresh box; the expected output is never
 * there, so the program can only pass by printing it. A case passes if the program ends with exit code 0 and
 * `sameOutput` holds; the first that fails is reported. All cases together have the limits' seconds; judging
 * stops at the first where the program ends otherwise, never because it printed what is wrong: that it is run
 * again must tell it nothing.
 *
 * Python programs have `exit` and `quit`, which those of contests call, and the standard library alone. Throws
 * ConfigError where the language's toolchain is missing or its programs cannot be run this way (Java, Go),
 * and DataError where there is no case.
 */
export async function judgeTranscripts(
  { source, tests: { cases } }: Pick<Program<Transcripts>, 'source' | 'tests'>,
  { sandbox, lane, language, limits }: Conditions,
): Promise<Finding> {
  await toolchainVersion(language);
  if (cases.length === 0) throw new DataError('tests: a program must have at least one input and output');
  const { plain, reads } = language;
  if (plain === null) {
    throw new ConfigError(`${language.id} programs cannot be judged by their standard input and output`);
  }
  const program = await compile(source, { sandbox, lane, language });
  if (!Buffer.isBuffer(program)) return program;

  const left = limitsIn(language, limits);
  const signs = plainSigns(language.signs, plain);
  let [seconds, cpuSeconds] = [0, 0];
  let wrong: Finding | null = null;
  for (const [i, { input, output }] of cases.entries()) {
    const parts: Buffer[] = [];
    const end = await runBox({
      sandbox,
      lane,
      // Standard input is a file: what Node makes, a socket, cannot be opened as /dev/stdin.
      command: ['/bin/sh', '-c', 'exec "$@" </flex/input', 'sh', ...plain.command],
      reads,
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
      return wrong ?? { ...finding, detail: oneLine(`${where}: ${finding.detail}`) };
    }
    if (!sameOutput(printed, output)) {
      const detail = `${where}: printed ${shown(printed)} where ${shown(output)} is expected`;
      wrong ??= { verdict: 'failed', failure: 'assertion', detail };
    }
  }
  return wrong ?? passed;
}

/** A failed assertion is the program's own here, and no driver tells by an exit code what does not parse. */
function plainSigns({ unparsable, line }: Signs, plain: Plain): Signs {
  return { unparsable: plain.unparsable ?? (typeof unparsable === 'number' ? undefined : unparsable), line };
}

function shown(output: string): string {
  const line = oneLine(output);
  return JSON.stringify(line.length <= 60 ? line : `${line.slice(0, 59)}…`);
}
