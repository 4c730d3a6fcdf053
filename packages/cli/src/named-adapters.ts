import { basename, dirname } from 'node:path';
import { lastName, locate } from '@flex/base';
import { InvalidArgumentError, Option } from 'commander';

/** `--adapter`, which gives the folders of adapters by their names: each is a model of its own. */
export function namedAdapterOption(): Option {
  const help = 'a PEFT adapter, which is a model of that name, else of its folder’s; may be repeated';
  return new Option('--adapter <[name=]dir>', help)
    .argParser<ReadonlyMap<string, string>>(namedAdapter)
    .default(new Map(), 'none');
}

function namedAdapter(text: string, before: ReadonlyMap<string, string> = new Map()) {
  const [, given, folder] = /^(?:([^=/~]+)=)?(.+)$/.exec(text) ?? [];
  if (!folder) throw new InvalidArgumentError('It must be a folder, or a name, = and a folder.');
  const dir = locate(folder, 'adapter');
  const name = given ?? (basename(dir) === 'adapter' ? basename(dirname(dir)) : lastName(dir));
  if (before.has(name))
    throw new InvalidArgumentError(`Two adapters are called ${name}: write NAME=${folder}.`);
  return new Map([...before, [name, dir]]);
}
