import { ConfigError, type HubKind, parseHubName, printable } from '@flex/base';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { download } from '../downloads.ts';

interface FetchOptions extends CommonOptions {
  readonly adapter?: boolean;
}

/** `flex model fetch` and `flex data fetch`: what a name of the hub stands for, as the hub has it now. */
export function fetchCommand(kind: Exclude<HubKind, 'adapter'>): Command {
  const isData = kind === 'dataset';
  const what = isData ? 'rows of data' : 'a model or an adapter';
  const fetch = new Command('fetch')
    .description(`download ${what} from the Hugging Face hub into its cache, as it is there now`)
    .argument('<name>', `org/name or org/name@revision${isData ? ', with /FILE or /FOLDER behind it' : ''}`);
  if (!isData) fetch.option('--adapter', 'the repository is a PEFT adapter');
  return withCommonOptions(fetch).action((text: string, options: FetchOptions) =>
    run(text, options.adapter ? 'adapter' : kind, options),
  );
}

async function run(text: string, kind: HubKind, options: FetchOptions): Promise<void> {
  const output = outputOf(options);
  const name = parseHubName(text, kind);
  if (!name)
    throw new ConfigError(`${text}: is no name of the hub, which is as org/name or org/name@revision`);
  const path = await download(name, output.quiet);
  output.emit({ name: text, path });
  output.print(printable(path));
}
