import { existsSync } from 'node:fs';
import { ConfigError } from '@flex/base';
import type { LlamaModel } from '@flex/llama';
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
  if (/@[-+.\deE]+$/.test(text) && !existsSync(text))
    throw new InvalidArgumentError('This command takes an adapter without a weight.');
  if (text === '') throw new InvalidArgumentError('It must be the folder of a PEFT adapter.');
  return text;
}

/** A folder, or a folder, an @ and a factor; a folder whose own name is so comes first. */
function adapterChoice(text: string): AdapterChoice {
  const at = text.lastIndexOf('@');
  if ((at < 0 && text !== '') || existsSync(text)) return { dir: text, weight: 1 };
  const weight = Number(text.slice(at + 1));
  if (at <= 0 || text.endsWith('@') || !Number.isFinite(weight))
    throw new InvalidArgumentError(
      'It must be a folder, or a folder and its weight in the sum, such as runs/a/adapter@0.5.',
    );
  return { dir: text.slice(0, at), weight };
}

/** The model with one adapter as it is, or with the weighted sum of several. `warn` is told what they warn of. */
export async function withChosenAdapters(
  model: LlamaModel,
  choices: readonly AdapterChoice[],
  warn: (line: string) => void,
): Promise<LlamaModel> {
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
