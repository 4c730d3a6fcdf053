import { execFileSync, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';

/** Whether there is no tmux here, so that nothing can be looked at in a real terminal. */
export const withoutTmux = spawnSync('tmux', ['-V']).status !== 0;

/** A shell in a real terminal, a server of its own. */
export interface RealTerminal {
  /** Types a line. */
  type(line: string): void;
  press(key: string): void;
  resize(columns: number): void;
  /** Its lines without spaces at their ends; with `escapes`, what colours them too. */
  lines(options?: { escapes?: boolean }): string[];
  /** Waits until a line is as wanted. Throws, with what is shown, where none is after a minute. */
  until(wanted: RegExp): Promise<void>;
  isCursorShown(): boolean;
  close(): void;
}

/** Opens a terminal of so many columns, in which bash runs in the folder with these variables. */
export function openTmux(
  folder: string,
  columns: number,
  variables: Readonly<Record<string, string>>,
): RealTerminal {
  const server = `flex-${randomUUID()}`;
  const tmux = (...args: string[]) =>
    execFileSync('tmux', ['-L', server, '-f', '/dev/null', ...args], { encoding: 'utf8' });
  const set = Object.entries({ PS1: '$ ', ...variables }).map(([name, value]) => `${name}=${value}`);
  const shell = [
    'env',
    '-u',
    'CI',
    '-u',
    'NO_COLOR',
    '-u',
    'FORCE_COLOR',
    ...set,
    'bash',
    '--norc',
    '--noprofile',
  ];
  tmux('new-session', '-d', '-x', String(columns), '-y', '50', '-c', folder, ...shell);
  const lines = ({ escapes = false } = {}) =>
    tmux('capture-pane', '-p', '-S', '-', ...(escapes ? ['-e'] : []))
      .split('\n')
      .map((line) => line.trimEnd())
      .filter((line) => line !== '');
  return {
    type: (line) => void [tmux('send-keys', '-l', line), tmux('send-keys', 'Enter')],
    press: (key) => void tmux('send-keys', key),
    resize: (to) => void tmux('resize-window', '-x', String(to)),
    lines,
    async until(wanted) {
      for (let tries = 0; tries < 550; tries++) {
        if (lines().some((line) => wanted.test(line))) return;
        await setTimeout(100);
      }
      throw new Error(`no line is ${wanted}:\n${lines().join('\n')}`);
    },
    isCursorShown: () => tmux('display-message', '-p', '#{cursor_flag}').trim() === '1',
    close: () => void tmux('kill-server'),
  };
}
