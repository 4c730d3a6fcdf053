import { Command } from 'commander';
import { withDownloads } from './downloads.ts';
import { exitCode, tellFailure } from './failure.ts';
import { help } from './help.ts';
import { watchOutput } from './interruption.ts';
import { columnsOf } from './terminal.ts';

/** The commands in the order of the help. Each is loaded when it is needed: most starts need one. */
export const commands = {
  train: async () => (await import('./commands/train.ts')).trainCommand(),
  generate: async () => (await import('./commands/generate.ts')).generateCommand(),
  chat: async () => (await import('./commands/chat.ts')).chatCommand(),
  serve: async () => (await import('./commands/serve.ts')).serveCommand(),
  logits: async () => (await import('./commands/logits.ts')).logitsCommand(),
  merge: async () => (await import('./commands/merge.ts')).mergeCommand(),
  'verify-merge': async () => (await import('./commands/verify-merge.ts')).verifyMergeCommand(),
  export: async () => (await import('./commands/export.ts')).exportCommand(),
  spectrum: async () => (await import('./commands/spectrum.ts')).spectrumCommand(),
  eval: async () => (await import('./commands/eval.ts')).evalCommand(),
  compare: async () => (await import('./commands/compare.ts')).compareCommand(),
  study: async () => (await import('./commands/study.ts')).studyCommand(),
  reproduce: async () => (await import('./commands/reproduce.ts')).reproduceCommand(),
  report: async () => (await import('./commands/report.ts')).reportCommand(),
  watch: async () => (await import('./commands/watch.ts')).watchCommand(),
  worker: async () => (await import('./commands/worker.ts')).workerCommand(),
  'audit-number': async () => (await import('./commands/audit-number.ts')).auditNumberCommand(),
  data: async () => (await import('./commands/data.ts')).dataCommand(),
  model: async () => (await import('./commands/model.ts')).modelCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  completion: async () => (await import('./commands/completion.ts')).completionCommand(() => program([])),
} as const satisfies Record<string, () => Promise<Command>>;

/**
 * The command line, with the one command that the arguments begin with, or with all where that names none.
 * Errors are thrown; `main` tells them.
 */
async function program([name]: readonly string[]): Promise<Command> {
  const flex = configured(new Command('flex'))
    .description('Fine-tunes language models with LoRA and a Fourier penalty, on WebGPU or without a GPU.')
    .option('-V, --version', 'print the version and the commit');
  const named = Object.entries(commands).filter(([key]) => key === name);
  for (const [, load] of named.length > 0 ? named : Object.entries(commands)) {
    flex.addCommand(configured(await load()));
  }
  return flex;
}

/** Errors are thrown, and told by `tellFailure` alone; help fits the terminal. */
function configured(command: Command): Command {
  command.commands.forEach(configured);
  return command
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp(help)
    .configureOutput({
      outputError: () => {},
      getOutHelpWidth: () => Math.min(columnsOf(process.stdout), widestHelp),
      getErrHelpWidth: () => Math.min(columnsOf(process.stderr), widestHelp),
    });
}

/** Columns of a help text at most, and in a pipe: longer lines are hard to read. */
const widestHelp = 110;

/** Runs one command; resolves to the process's exit code. */
export async function main(args: readonly string[]): Promise<number> {
  watchOutput();
  try {
    if (args[0] === '--version' || args[0] === '-V') {
      const { versionLine } = await import('./version.ts');
      process.stdout.write(`${versionLine()}\n`);
      return exitCode.done;
    }
    return await withDownloads(args, () => run(args));
  } catch (error) {
    return tellFailure(error, args);
  }
}

/** Runs one command as `main` does, but throws its errors. */
async function run(args: readonly string[]): Promise<number> {
  let code: number = exitCode.done;
  const flex = await program(args);
  flex.hook('postAction', (_, action) => {
    code = Number(action.getOptionValue('exitCode') ?? exitCode.done);
  });
  await flex.parseAsync(args, { from: 'user' });
  return code;
}
