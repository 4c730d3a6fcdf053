import { constants } from 'node:os';
import { oneLine } from '@flex/base';
import type { Signs } from '../language.ts';
import type { BoxEnd } from '../sandbox/box.ts';
import type { Finding } from '../verdict.ts';
import { verdictOfEnd } from './verdict-of-end.ts';

/** How languages say that they got no memory. */
const outOfMemory = new RegExp(
  [
    ...['MemoryError', 'out of memory', 'bad_alloc', 'memory allocation of \\d+ bytes failed'],
    ...['Allowed memory size', 'not enough memory', 'cannot allocate (?:memory|vector)'],
  ].join('|'),
  'i',
);

/** Why a program did not pass, by how its box ended and what it printed. */
export function findingOfEnd(end: BoxEnd, signs: Signs, stdout: string): Finding {
  const byEnd = verdictOfEnd(end);
  if (byEnd.failure !== 'exited' || end.code === 0) return byEnd;
  const said = `${end.stderr}\n${stdout}`;
  const shows = (sign: RegExp | number | undefined) =>
    typeof sign === 'number' ? end.code === sign : (sign?.test(said) ?? false);
  const line = signs.line?.exec(said)?.[0] ?? end.stderr.trimEnd().split('\n').at(-1);
  const detail = oneLine(line || howItEnded(end.code));
  if (shows(signs.unparsable)) return { verdict: 'compile_error', failure: 'compile', detail };
  if (outOfMemory.test(end.stderr)) return { verdict: 'memory', failure: 'memory', detail };
  return { verdict: 'failed', failure: shows(signs.assertion) ? 'assertion' : 'exception', detail };
}

/** By a shell's numbering, in which 128 + n is signal n. */
function howItEnded(code: number | null): string {
  const [signal] = Object.entries(constants.signals).find(([, n]) => n + 128 === code) ?? [];
  return signal === undefined ? `ended with code ${code}` : `killed by ${signal}`;
}
