import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ConfigError, DataError, printable } from '@flex/base';
import { readCompletions } from '@flex/datasets';
import { type Comparison, compare, readResults } from '@flex/eval';
import { type ModelConfig, openChatTemplate, openTokenizer, readConfig, type Tokenizer } from '@flex/llama';
import { type StorageType, storageTypes } from '@flex/peft';
import { Command, InvalidArgumentError } from 'commander';
import { oneAdapter } from '../adapter-option.ts';
import { bold, type CommonOptions, dim, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { type DeviceOptions, openBackend } from '../device.ts';
import { shareText } from '../layer-errors.ts';
import { newLiveLine } from '../live-line.ts';
import { newLoadProgress } from '../load-progress.ts';
import { modelHelp } from '../open-model.ts';
import { benchmarkName, placeOf, positive } from '../option-values.ts';
import { provenanceLines } from '../provenance-text.ts';
import { quickstart } from '../quickstart.ts';
import {
  type EvaluationContext,
  requireBenchmark,
  runEvaluation,
  untilInterrupted,
} from '../run-evaluation.ts';
import { percent } from '../score-table.ts';
import { newTable } from '../table.ts';
import { type StorageAgreement, verifyMerge } from '../verify-merge.ts';

interface VerifyMergeOptions extends CommonOptions, DeviceOptions {
  readonly model: string;
  readonly adapter: string;
  readonly dtype: readonly StorageType[];
  readonly data?: string;
  readonly split?: string;
  readonly prompt: readonly string[];
  readonly benchmark?: string;
  readonly maxNewTokens?: number;
  readonly out?: string;
}

/** Tokens of a text at most. */
const mostTokens = 512;

export function verifyMergeCommand(): Command {
  const command = new Command('verify-merge')
    .description(
      'what merging an adapter costs, by the type that the weights are stored in: next-token distributions ' +
        'against the unmerged adapter, and rounding errors against what the adapter changed',
    )
    .requiredOption('--model <dir>', modelHelp, placeOf('model'))
    .requiredOption('--adapter <dir>', 'a PEFT adapter on top of it', oneAdapter)
    .option('--dtype <list>', `of ${storageTypes.join(', ')}, with commas`, storageList, [...storageTypes])
    .option(
      '--data <file>',
      'texts to compare on: rows as for training; with --benchmark, its own data',
      placeOf('dataset'),
    )
    .option('--split <split>', 'of --data: train, validation, test, prompt, all, or task ids such as 11-510')
    .option(
      '--prompt <text>',
      'a text to compare on; may be repeated. Without --data and --prompt, 16 bundled tasks',
      (text: string, all: readonly string[]) => [...all, text],
      [],
    )
    .option(
      '--benchmark <name>',
      'also evaluate the adapter unmerged and merged, and compare them paired',
      benchmarkName,
    )
    .option('--max-new-tokens <n>', "tokens of a benchmark's completion at most", positive)
    .option('--out <dir>', 'the folder of the evaluations, a folder in it each', placeOf('output'));
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(options: VerifyMergeOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  const { model, adapter, dtype: storages, benchmark } = options;
  requireWith(options, { maxNewTokens: 'benchmark', out: 'benchmark', split: 'data' });
  if (benchmark !== undefined)
    await requireBenchmark({ ...options, benchmark, settings: [], prompt: undefined });
  const texts = await textsOf(options);
  const backend = await openBackend(options, output.note);
  const onProgress = newLoadProgress(newLiveLine(output.quiet));
  const warn = output.warn;
  const found = await verifyMerge(backend, { model, adapter, storages, texts, warn, onProgress });
  await backend.close();
  output.print(agreementTable(found));
  output.print(
    `over ${counted(found[0].positions, 'position')} of ${counted(texts.length, 'text')}; ` +
      'the reference is the unmerged adapter in f32',
  );
  for (const line of worstLayers(found)) output.print(line);
  const agreement = found.map(({ storage, positions, klMean, klMax, sameGreedy, rounding }) => ({
    dtype: storage,
    positions,
    kl_mean: klMean,
    kl_max: klMax,
    same_greedy: sameGreedy,
    rounding,
  }));
  if (benchmark === undefined) {
    output.emit({ model, adapter, agreement });
    return;
  }
  await untilInterrupted(command, { ...options, output }, async (context) => {
    const comparisons = await compareOn(benchmark, options, context);
    output.emit({ model, adapter, agreement, benchmark: Object.fromEntries(comparisons) });
    output.print(benchmarkTable(comparisons));
    output.print('change, lost and won: against the unmerged adapter, in problems that pass');
    const sides = [...comparisons.values()];
    const folders = [sides[0].a, ...sides.map(({ b }) => b)].map(({ folder }) => printable(folder));
    output.print(dim(`results: ${folders.join(', ')}`));
    const { provenance } = sides[0].a;
    if (provenance) for (const line of provenanceLines(provenance)) output.print(dim(line));
  });
}

type Needs = Partial<Record<'maxNewTokens' | 'out' | 'split', 'benchmark' | 'data'>>;

/** Throws ConfigError for an option without the one that it belongs to. */
function requireWith(options: VerifyMergeOptions, needs: Needs): void {
  for (const [key, needed] of Object.entries(needs) as [keyof Needs, 'benchmark' | 'data'][]) {
    if (options[key] === undefined || options[needed] !== undefined) continue;
    const name = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new ConfigError(`--${name}: belongs to --${needed}, which was not given`);
  }
}

/** The token ids of the texts to compare on. */
async function textsOf({ model, data, split, prompt, benchmark }: VerifyMergeOptions): Promise<number[][]> {
  const config = readConfig(model);
  let opened: Tokenizer | undefined;
  const encode = (text: string) => {
    opened ??= openTokenizer(model);
    return opened.encode(text, { bos: opened.bosId !== null });
  };
  const prompts = prompt.map(encode);
  const [bundled] = quickstart.eval;
  const chosen = benchmark === undefined && data !== undefined ? { source: data, split } : null;
  const rows = chosen ?? (prompts.length > 0 ? null : bundled);
  const { completions } = rows ? await readCompletions(rows.source, rows) : { completions: [] };
  const texts = completions.map((row) => {
    if ('inputIds' in row) return known(row.where, [...row.inputIds], config);
    if ('messages' in row) {
      return openTokenizer(model).encode(openChatTemplate(model).render(row.messages), { bos: false });
    }
    return encode(row.prompt + row.completion);
  });
  return [...texts, ...prompts].map((ids) => ids.slice(0, Math.min(mostTokens, config.maxPositions)));
}

/** Ids of a row, all in the vocabulary. Throws DataError for one that is not. */
function known(where: string, ids: number[], { vocabSize }: ModelConfig): number[] {
  const wrong = ids.find((id) => id < 0 || id >= vocabSize);
  if (wrong === undefined) return ids;
  throw new DataError(`${where}: input_ids must be in 0 to ${vocabSize - 1}, got ${wrong}`);
}

/**
 * The unmerged adapter on a benchmark against the merged model as each type stores it, all computed in f32.
 */
async function compareOn(
  benchmark: string,
  { model, adapter, device, threads, dtype: storages, data, split, maxNewTokens, out }: VerifyMergeOptions,
  context: EvaluationContext,
): Promise<Map<StorageType, Comparison>> {
  const evaluated = async (merged: StorageType | undefined) => {
    const folder = out === undefined ? undefined : join(out, merged ?? 'unmerged');
    const choice = [{ dir: adapter, weight: 1 }];
    const options = {
      benchmark,
      data,
      split,
      model,
      adapter: choice,
      device,
      threads,
      maxNewTokens,
      merged,
      out: folder,
    };
    const jobs = availableParallelism();
    const fixed = { settings: [], dtype: 'f32', k: [1], incomplete: 'fail', jobs } as const;
    return readResults((await runEvaluation({ ...options, ...fixed }, context)).out);
  };
  const unmerged = await evaluated(undefined);
  const found = new Map<StorageType, Comparison>();
  for (const storage of storages) {
    // That one is merged is the only part of the protocol that differs.
    found.set(storage, compare(unmerged, await evaluated(storage), { force: true }));
  }
  return found;
}

function agreementTable(found: readonly StorageAgreement[]): string {
  const head = ['stored as', 'KL, mean', 'KL, largest', 'same greedy', 'rounding / delta'];
  const table = newTable({ head, colAligns: ['left', ...Array<'right'>(4).fill('right')] });
  for (const { storage, klMean, klMax, sameGreedy, rounding } of found) {
    table.push([
      bold(storage),
      ...[klMean, klMax].map((kl) => kl.toExponential(2)),
      `${(100 * sameGreedy).toFixed(2)} %`,
      shareText(rounding.all),
    ]);
  }
  return table.toString();
}

/** A line for each layer that some type rounds most, with these types. */
function worstLayers(found: readonly StorageAgreement[]): string[] {
  const layers = new Map<string, string[]>();
  for (const { storage, rounding } of found) {
    if (!rounding.worst) continue;
    const { weight, error } = rounding.worst;
    const layer = printable(weight.replace(/^model\.|\.weight$/g, ''));
    layers.set(layer, [...(layers.get(layer) ?? []), `${storage} ${shareText(error)}`]);
  }
  return [...layers].map(([layer, types]) => `most rounding / delta in ${layer}: ${types.join(', ')}`);
}

const counted = (n: number, thing: string) => `${n} ${thing}${n === 1 ? '' : 's'}`;

function benchmarkTable(comparisons: ReadonlyMap<StorageType, Comparison>): string {
  const head = ['stored as', 'pass@1', 'change', '95 % interval', 'p', 'lost', 'won'];
  const table = newTable({ head, colAligns: ['left', ...Array<'right'>(6).fill('right')] });
  for (const [storage, { a, b, differences }] of comparisons) {
    const { difference, ci95, test, only_a, only_b } = differences['pass@1'];
    if (table.length === 0) table.push([bold('unmerged'), percent(a['pass@1']), '', '', '', '', '']);
    const interval = `${(100 * ci95[0]).toFixed(2)} to ${percent(ci95[1])}`;
    const row = [percent(b['pass@1']), percent(difference), interval, test.p.toFixed(4), only_a, only_b];
    table.push([bold(storage), ...row]);
  }
  return table.toString();
}

function storageList(text: string): StorageType[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))];
  const isStorage = (name: string): name is StorageType => (storageTypes as readonly string[]).includes(name);
  if (!names.every(isStorage)) throw new InvalidArgumentError(`It must be of ${storageTypes.join(', ')}.`);
  return names;
}
