import { byteText, printable } from '@flex/base';
import { checkModel, inspectModel, type ModelConfig, type ModelInspection, unquantizable } from '@flex/llama';
import { describeAvailable } from '@flex/train';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { type DeviceOptions, openBackend } from '../device.ts';
import { exitCode } from '../failure.ts';
import { flexCommand } from '../flex-command.ts';
import { type Download, withModelOrHeaders } from '../headers-at-hub.ts';
import { newLiveLine } from '../live-line.ts';
import { newLoadProgress } from '../load-progress.ts';
import { type ModelMemory, modelMemory } from '../model-memory.ts';
import { modelHelp } from '../open-model.ts';
import { pathText, placeOf, positive } from '../option-values.ts';
import { newTable } from '../table.ts';
import { chalk } from '../terminal.ts';
import { fetchCommand } from './fetch.ts';

interface InspectOptions extends CommonOptions, DeviceOptions {
  readonly tokens?: number;
}

interface CheckOptions extends CommonOptions {
  readonly numbers?: boolean;
}

/** Tokens of the text that memory is planned for, unless the model's context is shorter. */
const usualTokens = 1024;

export function modelCommand(): Command {
  const model = new Command('model').description(
    'what a model is, whether its files are whole, and where it comes from',
  );
  const inspect = model
    .command('inspect')
    .description('its architecture, files, tokenizer, and the memory that it takes; no weight is read')
    .argument('<name>', `${modelHelp}, which is not downloaded`, pathText)
    .option(
      '--tokens <n>',
      `of the text that memory is planned for; else ${usualTokens}, or the model's context`,
      positive,
    );
  withCommonOptions(withDevice(inspect)).action(runInspect);
  const check = model
    .command('check')
    .description(
      'every header, every shape against config.json, the tokenizer, and the digests of what the hub gave',
    )
    .argument('<name>', modelHelp, placeOf('model'))
    .option('--numbers', 'read every number too, and name the tensors with some that are not finite')
    .addHelpText('after', '\nExit code 0: nothing is wrong. Exit code 1: something is, a line each.');
  withCommonOptions(check).action(runCheck);
  model.addCommand(fetchCommand('model'));
  return model;
}

async function runInspect(name: string, options: InspectOptions): Promise<void> {
  const output = outputOf(options);
  await withModelOrHeaders(name, output.quiet, async ({ dir, download }) => {
    const found = inspectModel(dir);
    const tokens = options.tokens ?? Math.min(usualTokens, found.config.maxPositions);
    const backend = await openBackend(options, output.note);
    try {
      const memory = await modelMemory(backend, dir, tokens);
      const shown = download === null ? dir : `${download.name}@${download.commit}`;
      output.emit({
        ...found,
        dir: download === null ? dir : null,
        download,
        memory: { tokens, device: backend.description, ...memory },
      });
      output.print(descriptionOf({ ...found, dir: shown }));
      output.print(memoryTable(memory));
      const odd = unquantizable(found.config);
      if (odd) output.print(`no int8 and nf4: the rows of ${odd} are no multiple of 8 numbers`);
      const there = memory.available
        ? describeAvailable(memory.available)
        : 'nobody tells how much memory there is';
      output.print(
        `a text of ${tokens} tokens, on ${printable(backend.description)}: ${there}; training: at least, one row, ` +
          'all layers computed again',
      );
      if (download !== null) output.print(downloadText(download));
    } finally {
      await backend.close();
    }
  });
}

function downloadText({ name, files, bytes }: Download): string {
  const how = flexCommand(`model fetch ${name}`);
  return `only headers were read, at the hub; all of it takes ${byteText(bytes)} in ${files} files: ${how}`;
}

function descriptionOf({
  dir,
  config,
  parameters,
  files,
  stored,
  isTied,
  tokenizer,
}: ModelInspection): string {
  const { heads, kvHeads, headDim } = config;
  const grouped = kvHeads === heads ? `${heads} heads` : `${heads} heads, ${kvHeads} of keys and values`;
  const types = Object.entries(stored).map(
    ([dtype, { tensors, bytes }]) => `${tensors} tensors of ${dtype}, ${byteText(bytes)}`,
  );
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const table = newTable();
  table.push(
    ['model', printable(dir)],
    ['family', config.modelType],
    ['parameters', `${countText(parameters)}${isTied ? ', embedding and head tied' : ''}`],
    ['layers', `${config.layers}, hidden size ${config.hiddenSize}, feed-forward ${config.intermediateSize}`],
    ['attention', `${grouped}, ${headDim} numbers each${windowText(config)}`],
    ['vocabulary', `${config.vocabSize} tokens`],
    ['context', `${config.maxPositions} tokens${ropeText(config)}`],
    ['files', `${files.length === 1 ? files[0].name : `${files.length} files`}, ${byteText(bytes)}`],
    ['weights', types.join('; ')],
    ['tokenizer', tokenizerText(tokenizer)],
  );
  return table.toString();
}

/** `7,241,732,096 (7.2 B)`. */
function countText(n: number): string {
  const [unit, letter] = n >= 1e9 ? [1e9, 'B'] : [1e6, 'M'];
  return `${n.toLocaleString('en-US')} (${(n / unit).toFixed(1)} ${letter})`;
}

function windowText({ windows }: ModelConfig): string {
  const sizes = windows.filter((size) => size !== null);
  if (sizes.length === 0) return '';
  const where = sizes.length === windows.length ? '' : ` in ${sizes.length} layers`;
  return `, windows of ${[...new Set(sizes)].join(' and ')} tokens${where}`;
}

function ropeText({ ropeTheta, ropeScaling }: ModelConfig): string {
  return `, rotary base ${ropeTheta}${ropeScaling ? `, ${ropeScaling.type} scaling` : ''}`;
}

function tokenizerText(tokenizer: ModelInspection['tokenizer']): string {
  if (!tokenizer) return chalk.yellow('none');
  const { file, model, tokens, hasChatTemplate } = tokenizer;
  const parts = [file, model, tokens && `${tokens} tokens`, hasChatTemplate && 'a chat template'];
  return parts.filter(Boolean).join(', ');
}

function memoryTable({ storages }: ModelMemory): string {
  const table = newTable({
    head: ['stored as', 'weights', 'to decode', 'to train'],
    colAligns: ['left', 'right', 'right', 'right'],
  });
  const cell = (bytes: number, fits: boolean | undefined) =>
    fits === false ? chalk.yellow(`${byteText(bytes)}: does not fit`) : byteText(bytes);
  for (const { storage, weights, decode, train, fits } of storages) {
    table.push([storage, byteText(weights), cell(decode, fits?.decode), cell(train, fits?.train)]);
  }
  return table.toString();
}

async function runCheck(dir: string, { numbers, ...common }: CheckOptions, command: Command): Promise<void> {
  const output = outputOf(common);
  const onProgress = newLoadProgress(newLiveLine(output.quiet), 'reading');
  const found = await checkModel(dir, { numbers, onProgress });
  output.emit(found);
  for (const line of found.problems) output.print(chalk.red(printable(line)));
  for (const line of found.notes) output.print(printable(line));
  const { files, tensors, digests, problems } = found;
  const read = found.numbers === null ? '' : ', and their numbers';
  const compared = digests === 0 ? '' : `; ${digests} digests agree`;
  const wrong = problems.length === 0 ? 'nothing is wrong' : `${problems.length} wrong`;
  output.print(
    `${printable(dir)}: ${tensors} tensors in ${files === 1 ? 'a file' : `${files} files`} by their headers${read}${compared}: ${wrong}`,
  );
  if (problems.length > 0) command.setOptionValue('exitCode', exitCode.failed);
}
