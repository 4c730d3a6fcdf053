import { describe, expect, test } from 'vitest';
import { HarnessError } from '../errors.ts';
import type { BoxEnd } from '../sandbox/box.ts';
import { verdictOfEnd } from './verdict-of-end.ts';

const end: BoxEnd = {
  code: 0,
  signal: null,
  stopped: null,
  stdout: '',
  stderr: '',
  seconds: 10,
  cpuSeconds: 9,
  memoryBytes: 0,
};
const killed = { ...end, code: null, signal: 'SIGKILL' as const };

describe('the verdict on a box that ended', () => {
  test.each([
    ['at its memory limit', { ...killed, stopped: 'memory' }, 'memory', 'memory'],
    ['at its output limit', { ...killed, stopped: 'output' }, 'output_limit', 'output'],
    ['at its processor limit', { ...killed, stopped: 'cpu', seconds: 100 }, 'timeout', 'timeout'],
    ['at its wall limit, computing', { ...killed, stopped: 'wall', cpuSeconds: 5 }, 'timeout', 'timeout'],
    ['at its wall limit, kept waiting', { ...killed, stopped: 'wall', cpuSeconds: 1 }, 'timeout', 'timeout'],
    [
      'at its wall limit, computing on many processors',
      { ...killed, stopped: 'wall', cpuSeconds: 40 },
      'timeout',
      'timeout',
    ],
    ['at its wall limit, idle', { ...killed, stopped: 'wall', cpuSeconds: 0.9 }, 'timeout', 'never-stopped'],
    ['by a forbidden system call', { ...end, code: 159 }, 'blocked', 'blocked'],
    ['by itself, as if all were well', { ...end, code: 0 }, 'failed', 'exited'],
    ['by itself with an error', { ...end, code: 3 }, 'failed', 'exited'],
    ['by a signal of its own', { ...end, code: 139 }, 'failed', 'exited'],
  ] as const)('%s', (_, how, verdict, failure) => {
    const given = verdictOfEnd(how);
    const starved = how.stopped === 'wall' && how.cpuSeconds < 9 ? { starved: true } : {};
    expect(given).toEqual({ verdict, failure, detail: expect.stringMatching(/^\w[^\n]+\w$/), ...starved });
  });
  test('says with which code it ended', () => {
    expect(verdictOfEnd({ ...end, code: 7 }).detail).toBe('ended with code 7 before the tests did');
  });
  test.each([
    ['the harness killed', { ...killed, stopped: 'closed' }],
    ['the harness killed as it ended', { ...end, stopped: 'closed' }],
    ['someone else killed', killed],
  ] as const)('there is none on one that %s: that is no failure of its program', (_, how) => {
    expect(() => verdictOfEnd(how)).toThrow(HarnessError);
  });
});
