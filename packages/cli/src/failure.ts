import { ConfigError, DataError, printable, SandboxError } from '@flex/base';
import { CommanderError } from 'commander';

/** Exit codes of every command. */
export const exitCode = { done: 0, failed: 1, wrongUsage: 2, refused: 3, interrupted: 130 } as const;

/** The exit code an error stands for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.wrongUsage;
  if (error instanceof ConfigError || error instanceof DataError) return exitCode.wrongUsage;
  if (error instanceof SandboxError) return exitCode.refused;
  return exitCode.failed;
}

/** Characters of an error's line at most: what came from a file may be of any length. */
const longest = 2000;

/**
 * What to tell of an error: one line, or the stack too when verbose, with nothing that could steer a
 * terminal. Commander has said its own already.
 */
export function messageOf(error: unknown, verbose: boolean): string {
  if (error instanceof CommanderError) return '';
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  if (verbose && stack) return stack.split('\n').map(printable).join('\n');
  const [line] = message.split('\n', 1);
  return printable(line.length > longest ? `${line.slice(0, longest)}…` : line);
}
