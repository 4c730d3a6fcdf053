import {
  BusyError,
  ConfigError,
  DataError,
  DeviceError,
  printable,
  SandboxError,
  systemErrorOf,
} from '@flex/base';
import { CommanderError } from 'commander';
import { write } from './live-line.ts';
import { printableText } from './printable-text.ts';
import { chalkStderr, columnsOf, fold } from './terminal.ts';

/** Exit codes of every command. */
export const exitCode = { done: 0, failed: 1, wrongUsage: 2, refused: 3, interrupted: 130 } as const;

/** What a disk says that is full, over quota, read-only or broken, whatever the command's words. */
const refusals = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EIO'];

/** What a command that failed tells a program, with --json, as `{"error": …}`. */
export interface Failure {
  /** One line, as people read it. */
  readonly message: string;
  readonly kind: 'usage' | 'configuration' | 'busy' | 'data' | 'sandbox' | 'device' | 'failure';
  readonly exit_code: number;
}

/** What an error means. Of another error than ours, the message is all that is known. */
export function failureOf(error: unknown): Failure {
  const message = messageOf(error, false);
  const isRefused = refusals.includes(systemErrorOf(error)?.code ?? '');
  if (isRefused) return { message, kind: 'failure', exit_code: exitCode.failed };
  if (error instanceof CommanderError) return { message, kind: 'usage', exit_code: exitCode.wrongUsage };
  if (error instanceof BusyError) return { message, kind: 'busy', exit_code: exitCode.wrongUsage };
  if (error instanceof ConfigError) return { message, kind: 'configuration', exit_code: exitCode.wrongUsage };
  if (error instanceof DataError) return { message, kind: 'data', exit_code: exitCode.wrongUsage };
  if (error instanceof SandboxError) return { message, kind: 'sandbox', exit_code: exitCode.refused };
  if (error instanceof DeviceError) return { message, kind: 'device', exit_code: exitCode.failed };
  return { message, kind: 'failure', exit_code: exitCode.failed };
}

/**
 * Tells of an error, the one way for all: people in a line on standard error, or with --verbose the stack;
 * with --json also programs on standard output. Gives the process's exit code. Commander's `--help` and
 * `--version` end in errors too, which are none.
 */
export function tellFailure(error: unknown, args: readonly string[]): number {
  if (error instanceof CommanderError && error.exitCode === 0) return exitCode.done;
  const failure = failureOf(error);
  const text = `${chalkStderr.red('flex:')} ${messageOf(error, args.includes('--verbose'))}`;
  write(process.stderr, `${fold(text, columnsOf(process.stderr))}\n`);
  if (args.includes('--json')) write(process.stdout, `${JSON.stringify({ error: failure })}\n`);
  return failure.exit_code;
}

/** Characters of an error's line at most: what came from a file may be of any length. */
const longest = 2000;

/**
 * What to tell of an error: one line, or the stack too when verbose, with nothing that could steer a
 * terminal.
 */
export function messageOf(error: unknown, verbose: boolean): string {
  if (error instanceof CommanderError) {
    const usage = error.code === 'commander.help' ? 'give a command; flex --help lists them' : error.message;
    return printable(
      usage
        .replace(/^error: /, '')
        .trim()
        .replaceAll('\n', ' '),
    );
  }
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  if (verbose && stack) return printableText(stack);
  const [line] = message.split('\n', 1);
  return printable(line.length > longest ? `${line.slice(0, longest)}…` : line);
}
