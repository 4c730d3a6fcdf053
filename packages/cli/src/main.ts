import { chalkStderr } from 'chalk';
import { Command } from 'commander';
import { auditNumberCommand } from './commands/audit-number.ts';
import { compareCommand } from './commands/compare.ts';
import { doctorCommand } from './commands/doctor.ts';
import { evalCommand } from './commands/eval.ts';
import { generateCommand } from './commands/generate.ts';
import { logitsCommand } from './commands/logits.ts';
import { mergeCommand } from './commands/merge.ts';
import { spectrumCommand } from './commands/spectrum.ts';
import { trainCommand } from './commands/train.ts';
import { verifyMergeCommand } from './commands/verify-merge.ts';
import { exitCodeOf, messageOf } from './failure.ts';

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

/** The whole command line. Errors are thrown; `main` turns them into a line and an exit code. */
function program(): Command {
  const flex = new Command('flex')
    .description('Fine-tunes Llama models with LoRA and a Fourier penalty, on WebGPU or without a GPU.')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput(oneLine);
  for (const command of [
    trainCommand(),
    generateCommand(),
    logitsCommand(),
    mergeCommand(),
    verifyMergeCommand(),
    spectrumCommand(),
    evalCommand(),
    compareCommand(),
    auditNumberCommand(),
    doctorCommand(),
  ]) {
    flex.addCommand(command.exitOverride().showSuggestionAfterError().configureOutput(oneLine));
  }
  return flex;
}

/** Runs one command; resolves to the process's exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    let code = 0;
    const flex = program();
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
