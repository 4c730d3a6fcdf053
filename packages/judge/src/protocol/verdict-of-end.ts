import { HarnessError } from '../errors.ts';
import type { BoxEnd } from '../sandbox/box.ts';
import type { Finding } from '../verdict.ts';

const SIGSYS = 31;
/** Bubblewrap, as a shell, gives 128 + n for a program that signal n ended. */
const signalCode = 128;

/**
 * The verdict on a program whose box ended before its tests had passed: stopped at a limit, killed by the
 * system call filter, or ended by itself. A wall limit that was reached with less than nine tenths of it
 * spent computing is `starved`, with less than a tenth `never-stopped`: even a busy machine leaves a program more.
 * Throws HarnessError where the box was killed by anyone but its limits: that says nothing about the program.
 */
export function verdictOfEnd({ stopped, code, signal, cpuSeconds, seconds }: BoxEnd): Finding {
  switch (stopped) {
    case 'memory':
      return { verdict: 'memory', failure: 'memory', detail: 'used more memory than its limit' };
    case 'output':
      return { verdict: 'output_limit', failure: 'output', detail: 'printed more than its limit' };
    case 'cpu':
      return { verdict: 'timeout', failure: 'timeout', detail: 'used more processor time than its limit' };
    case 'wall': {
      const failure = cpuSeconds < seconds / 10 ? 'never-stopped' : 'timeout';
      const starved = cpuSeconds < 0.9 * seconds ? { starved: true as const } : {};
      return { verdict: 'timeout', failure, detail: 'did not end within its time limit', ...starved };
    }
    default:
      if (stopped === 'closed' || code === null) {
        throw new HarnessError(`a box was killed (${stopped ?? signal}) before its program had ended`);
      }
      if (code === signalCode + SIGSYS) {
        return { verdict: 'blocked', failure: 'blocked', detail: 'killed for a forbidden system call' };
      }
      return { verdict: 'failed', failure: 'exited', detail: `ended with code ${code} before the tests did` };
  }
}
