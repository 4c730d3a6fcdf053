import { HarnessError } from '../../errors.ts';
import { defaultLimits, type Limits } from '../../sandbox/limits.ts';
import { oneLine } from '../one-line.ts';
import { verdictOfEnd } from '../verdict-of-end.ts';
import type { Finding } from './finding.ts';
import { type Place, runBox } from './run-box.ts';
import type { Compiler } from './runner.ts';

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

/** The result of compiling a text in a box of its own, or why there is none. */
export async function compile(place: Place, compiler: Compiler, text: string): Promise<Buffer | Finding> {
  const parts: Buffer[] = [];
  const end = await runBox(place, {
    command: ['/bin/sh', '-c', `{ ${compiler.script(text)}; } >&2 && cat /tmp/program`],
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
