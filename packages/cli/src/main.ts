import { chalkStderr } from 'chalk';
import { Command } from 'commander';
import { exitCodeOf, messageOf } from './failure.ts';

/** The commands in the order of the help. Each is loaded when it is needed: most starts need one. */
const commands = {
  train: async () => (await import('./commands/train.ts')).trainCommand(),
  generate: async () => (await import('./commands/generate.ts')).generateCommand(),
  logits: async () => (await import('./commands/logits.ts')).logitsCommand(),
  merge: async () => (await import('./commands/merge.ts')).mergeCommand(),
  'verify-merge': async () => (await import('./commands/verify-merge.ts')).verifyMergeCommand(),
  spectrum: async () => (await import('./commands/spectrum.ts')).spectrumCommand(),
  eval: async () => (await import('./commands/eval.ts')).evalCommand(),
  compare: async () => (await import('./commands/compare.ts')).compareCommand(),
  'audit-number': async () => (await import('./commands/audit-number.ts')).auditNumberCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
} as const satisfies Record<string, () => Promise<Command>>;

/** Commander's complaints as one line, like all others. */
const oneLine = {
  outputError: (text: string, write: (text: string) => void) =>
    write(
      `${chalkStderr.red('flex:')} ${text
        .replace(/^error: /, '')
        .trim()
        .replaceAll('\n', ' ')}\n`,
    ),
};

/**
 * The command line, with the one command that the arguments begin with, or with all where that names none.
 * Errors are thrown; `main` turns them into a line and an exit code.
 */
async function program([name]: readonly string[]): Promise<Command> {
  const flex = new Command('flex')
    .description('Fine-tunes Llama models with LoRA and a Fourier penalty, on WebGPU or without a GPU.')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput(oneLine);
  const named = Object.entries(commands).filter(([key]) => key === name);
  for (const [, load] of named.length > 0 ? named : Object.entries(commands)) {
    const command = await load();
    flex.addCommand(command.exitOverride().showSuggestionAfterError().configureOutput(oneLine));
  }
  return flex;
}

/** Runs one command; resolves to the process's exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    let code = 0;
    const flex = await program(args);
    flex.hook('postAction', (_, action) => {
      code = Number(action.getOptionValue('exitCode') ?? 0);
    });
    await flex.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    const message = messageOf(error, args.includes('--verbose'));
    if (message) process.stderr.write(`${chalkStderr.red('flex:')} ${message}\n`);
    return exitCodeOf(error);
  }
}
