import { printable } from '@flex/base';
import chalk, { chalkStderr } from 'chalk';
import type { Command } from 'commander';
import { environment } from './environment.ts';
import { threads } from './option-values.ts';

/** Options every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/** Where a command's words go: results to standard output, progress and notes to standard error. */
export interface Output {
  readonly json: boolean;
  readonly verbose: boolean;
  /** A line of the result, its words from files made `printable`; with --json nothing. */
  print(line?: string): void;
  /** An object of the result; only with --json, one line. */
  emit(value: unknown): void;
  /** A note on the way, made printable; silent with --quiet. */
  note(line: string): void;
  /** A note that --quiet does not silence. */
  warn(line: string): void;
}

export function outputOf({ json = false, quiet = false, verbose = false }: CommonOptions): Output {
  return {
    json,
    verbose,
    print: (line = '') => {
      if (!json) process.stdout.write(`${line}\n`);
    },
    emit: (value) => {
      if (json) process.stdout.write(`${JSON.stringify(value)}\n`);
    },
    note: (line) => {
      if (!quiet) process.stderr.write(`${chalkStderr.dim(printable(line))}\n`);
    },
    warn: (line) => {
      process.stderr.write(`${chalkStderr.yellow(printable(line))}\n`);
    },
  };
}

/** Adds --json, --quiet and --verbose to a command. */
export function withCommonOptions(command: Command): Command {
  return command
    .option('--json', 'print JSON on standard output, and nothing else there')
    .option('--quiet', 'no progress and no notes')
    .option('--verbose', 'stack traces of errors');
}

/** Adds --device and --threads to a command that computes. FLEX_DEVICE changes the default of the first. */
export function withDevice(command: Command): Command {
  return command
    .option(
      '--device <name>',
      'auto (webgpu on a GPU, else cpu, else gpujs), webgpu, cpu (WebAssembly) or gpujs',
      environment.device,
    )
    .option('--threads <n>', 'of --device cpu; else one a core. Results do not depend on it', threads);
}

export const bold = chalk.bold;
export const dim = chalk.dim;
