import { Argument, Command } from 'commander';
import { completionScript, type Shell, shells } from '../completion.ts';
import { outputOf } from '../context.ts';

/** `flex completion`, of all the commands that `program` gives. */
export function completionCommand(program: () => Promise<Command>): Command {
  return new Command('completion')
    .description('print what a shell needs to complete flex, such as eval "$(flex completion bash)"')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .action(async (shell: Shell) => {
      outputOf({}).printWhole(completionScript(shell, await program()).trimEnd());
    });
}
