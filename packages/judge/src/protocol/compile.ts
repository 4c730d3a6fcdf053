import { oneLine } from '@flex/base';
import { HarnessError } from '../errors.ts';
import type { Language } from '../language.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { defaultLimits, type Limits } from '../sandbox/limits.ts';
import { runBox } from '../sandbox/run-box.ts';
import type { Finding } from '../verdict.ts';
import { verdictOfEnd } from './verdict-of-end.ts';

const MiB = 2 ** 20;

/** What compiling may use, apart from what the program may. */
const compileLimits = (seconds: number): Limits => ({
  ...defaultLimits,
  wallSeconds: seconds,
  cpuSeconds: seconds * 2,
  addressSpaceBytes: null,
  processes: 256,
  outputBytes: 64 * MiB,
  fileBytes: 256 * MiB,
});

/** How compilers begin the line that says what is wrong. */
const errorLine = /^.*\berror\b.*$|^\S+:\d+:\d+: .*$/im;

interface Compilation {
  readonly sandbox: Sandbox;
  readonly lane: number;
  readonly language: Language;
}

/**
 * What is run of a text: the result of compiling it in a box of its own, or why there is none; the text
 * itself where the language has no compiler.
 */
export async function compile(
  text: string,
  { sandbox, lane, language: { compiler, reads } }: Compilation,
): Promise<Buffer | Finding> {
  if (compiler === undefined) return Buffer.from(text);
  const parts: Buffer[] = [];
  const end = await runBox({
    sandbox,
    lane,
    command: ['/bin/sh', '-c', `{ ${compiler.script(text)}; } >&2 && cat /tmp/program`],
    reads,
    files: compiler.files(text),
    limits: compileLimits(compiler.seconds),
    stdin: '',
    onOutput: (chunk) => parts.push(chunk),
  });
  if (end.stopped !== null) {
    const finding = verdictOfEnd(end);
    return { ...finding, detail: `the compiler ${finding.detail}` };
  }
  if (end.code === 0) return Buffer.concat(parts);
  if (end.code === 126 || end.code === 127) {
    throw new HarnessError(`the compiler cannot be run: ${oneLine(end.stderr)}`);
  }
  const [line] = errorLine.exec(end.stderr) ?? [end.stderr];
  return { verdict: 'compile_error', failure: 'compile', detail: oneLine(line) };
}
