import { serveWatch } from '@flex/report/watch';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { fromHere } from '../from-here.ts';
import { interruptible } from '../interruption.ts';
import { placeOf, port } from '../option-values.ts';

interface WatchOptions extends CommonOptions {
  readonly port?: number;
}

export function watchCommand(): Command {
  const command = new Command('watch')
    .description('a page of this machine that follows a run or a study while it goes on')
    .argument('<folder>', "a run's or a study's", placeOf('file'))
    .option('--port <n>', "the folder's own, which stays the same; 0 for any that is free", port);
  return withCommonOptions(command).action(run);
}

async function run(folder: string, options: WatchOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  const server = await serveWatch(folder, { port: options.port, shown: fromHere(folder) });
  await interruptible(command, { stop: () => {} }, async (signal) => {
    output.emit({ folder, address: server.address });
    output.printWhole(server.address);
    output.note('only who knows this address sees the page, on this machine alone; Ctrl-C ends it');
    if (!signal.aborted) await new Promise((end) => signal.addEventListener('abort', end, { once: true }));
    await server.close();
  });
}
