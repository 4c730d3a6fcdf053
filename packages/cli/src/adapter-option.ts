import { existsSync } from 'node:fs';
import { ConfigError, expandHome, locate } from '@flex/base';
import type { CausalLM } from '@flex/llama';
import { combineAdapters, openAdapter, resolveLora, type WeightedAdapter, withAdapter } from '@flex/peft';
import { InvalidArgumentError, Option } from 'commander';

/** An adapter's folder, and its factor in the sum of those that were named. */
export interface AdapterChoice {
  readonly dir: string;
  readonly weight: number;
}

/** `--adapter`, which gives an `AdapterChoice` for each time that it is named. */
export function adapterOption(): Option {
  const help = 'a PEFT adapter on top of it; named several times, the sum of these, each times its weight';
  return new Option('--adapter <dir[@weight]>', help).argParser<readonly AdapterChoice[] | undefined>(
    (text, before = []) => [...before, adapterChoice(text)],
  );
}

/**
 * Reads an `--adapter` that takes one folder. Refuses a second one, and a weight: both have a meaning in
 * commands that sum adapters.
 */
export function oneAdapter(text: string, before?: string): string {
  if (before !== undefined)
    throw new InvalidArgumentError('This command takes one adapter, and it was given before.');
  if (/@[-+.\deE]+$/.test(text) && !existsSync(expandHome(text)))
    throw new InvalidArgumentError('This command takes an adapter without a weight.');
  if (text === '') throw new InvalidArgumentError('It must be the folder of a PEFT adapter.');
  return locate(text, 'adapter');
}

/**
 * A folder or a hub's name, or one of them, an @ and a factor; a folder whose own name is so comes first.
 * What could be a factor or a commit is a factor.
 */
function adapterChoice(text: string): AdapterChoice {
  const at = text.lastIndexOf('@');
  const weight = Number(text.slice(at + 1));
  const isWeighted =
    at > 0 && !text.endsWith('@') && Number.isFinite(weight) && !existsSync(expandHome(text));
  const dir = locate(isWeighted ? text.slice(0, at) : text, 'adapter');
  if (isWeighted) return { dir, weight };
  if (text !== '' && (at < 0 || existsSync(dir))) return { dir, weight: 1 };
  throw new InvalidArgumentError(
    'It must be a folder, or a folder and its weight in the sum, such as runs/a/adapter@0.5.',
  );
}

/** The model with one adapter as it is, or with the weighted sum of several. `warn` is told what they warn of. */
export async function withChosenAdapters(
  model: CausalLM,
  choices: readonly AdapterChoice[],
  warn: (line: string) => void,
): Promise<CausalLM> {
  const parts: WeightedAdapter[] = [];
  for (const { dir, weight } of choices) {
    const adapter = await openAdapter(model, dir);
    for (const line of adapter.warnings) warn(line);
    parts.push({ adapter, weight });
  }
  const [{ adapter, weight }] = parts;
  if (parts.length === 1 && weight === 1)
    return withAdapter(model, adapter, resolveLora(adapter.config, adapter.params, model));
  const { params, config } = combineAdapters(parts);
  return withAdapter(model, { params, whole: new Map() }, resolveLora(config, params));
}

/** The folder of the one adapter that is to be merged. Throws ConfigError for several, or for a weight. */
export function onlyAdapter([first, ...others]: readonly AdapterChoice[]): string {
  if (others.length > 0 || first.weight !== 1)
    throw new ConfigError('--merged: takes one --adapter, without a weight');
  return first.dir;
}
