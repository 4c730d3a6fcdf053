import { ConfigError, DataError } from '@flex/base';
import { SandboxError } from '@flex/judge';
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

/** What to tell of an error: one line, or the stack too when verbose. Commander has said its own already. */
export function messageOf(error: unknown, verbose: boolean): string {
  if (error instanceof CommanderError) return '';
  if (!(error instanceof Error)) return String(error);
  return verbose && error.stack ? error.stack : error.message.split('\n')[0];
}
