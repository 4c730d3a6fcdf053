import { printable } from '@flex/base';
import { type Command, Option } from 'commander';
import { deviceChoices } from './device-names.ts';
import { environment } from './environment.ts';
import { write } from './live-line.ts';
import { byteCount, threads } from './option-values.ts';
import { chalk, chalkStderr, columnsOf, fold } from './terminal.ts';

/** Options every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/** Where a command's words go: results to standard output, progress and notes to standard error. */
export interface Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /**
   * A line of the result, its words from files made `printable`, folded to the terminal's width; with --json
   * nothing.
   */
  print(line?: string): void;
  /** A text of the result that must stay as it is, such as code or a command to type; with --json nothing. */
  printWhole(text: string): void;
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
    quiet,
    verbose,
    print: (line = '') => {
      if (!json) write(process.stdout, `${fold(line, columnsOf(process.stdout))}\n`);
    },
    printWhole: (text) => {
      if (!json) write(process.stdout, `${text}\n`);
    },
    emit: (value) => {
      if (json) write(process.stdout, `${JSON.stringify(value)}\n`);
    },
    note: (line) => {
      if (!quiet) say(chalkStderr.dim, line);
    },
    warn: (line) => {
      say(chalkStderr.yellow, line);
    },
  };
}

function say(colour: (text: string) => string, line: string): void {
  write(process.stderr, `${colour(fold(printable(line), columnsOf(process.stderr)))}\n`);
}

/** Adds --json, --quiet and --verbose to a command. */
export function withCommonOptions(command: Command): Command {
  return command
    .option('--json', 'print JSON on standard output, and nothing else there')
    .option('--quiet', 'no progress and no notes')
    .option('--verbose', 'stack traces of errors');
}

/** Adds --device (FLEX_DEVICE is its default), --threads and --memory to a command that computes. */
export function withDevice(command: Command): Command {
  return command
    .addOption(
      new Option('--device <name>', 'auto: webgpu on a GPU, else cpu (WebAssembly), else gpujs')
        .choices(deviceChoices)
        .default(environment.device),
    )
    .option('--threads <n>', 'of --device cpu; else one a core. Results do not depend on it', threads)
    .option('--memory <size>', 'the most that tensors may take of the device, such as 24GiB', byteCount);
}

export const bold = chalk.bold;
export const dim = chalk.dim;
