import { spawnSync } from 'node:child_process';

/** The system's Python before one that a version manager wraps, which starts slowly. */
const env = { PATH: '/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin' };

/** Whether there is a Python to run trusted code with. */
export const hasPython = spawnSync('python3', ['-c', ''], { env }).status === 0;

/**
 * Runs trusted Python outside any sandbox: the publishers' own solutions and what tests write, nothing else.
 * Gives standard output, and the last line of standard error.
 */
export function runPython(source: string, input = ''): { output: string; error: string } {
  const { stdout, stderr } = spawnSync('python3', ['-W', 'ignore', '-c', source], {
    input,
    env,
    encoding: 'utf8',
  });
  return { output: stdout, error: stderr.trimEnd().split('\n').at(-1) ?? '' };
}
