import { ConfigError, DataError } from '@flex/base';
import {
  beyondContext,
  type CausalLM,
  type Completion,
  checkContinuation,
  type GenerateOptions,
  generate,
  generateAll,
  openInfill,
  openTokenizer,
  readConfig,
  type Tokenizer,
} from '@flex/llama';
import { Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { adapterOption } from '../adapter-option.ts';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { readJsonInput } from '../json-input.ts';
import { dtypeHelp, type ModelOptions, modelHelp, openModel, quantizeOption } from '../open-model.ts';
import { number, placeOf, positive, whole } from '../option-values.ts';
import { printableText } from '../printable-text.ts';
import { checkSampling } from '../sampling-options.ts';

interface GenerateCommandOptions extends CommonOptions, ModelOptions {
  readonly prompt?: string;
  readonly suffix?: string;
  readonly ids?: readonly number[];
  readonly input?: string;
  readonly maxNewTokens: number;
  readonly n: number;
  readonly numBeams: number;
  readonly lengthPenalty?: number;
  readonly earlyStopping?: true | 'never';
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  readonly logitBias?: ReadonlyMap<number, number>;
  readonly logprobs?: number;
  readonly stop: readonly string[];
  readonly seed: number;
}

const inputSchema = z.union([
  z.strictObject({ prompts: z.array(z.string()).min(1) }),
  z.strictObject({ input_ids: z.array(z.array(z.int().nonnegative()).min(1)).min(1) }),
]);

export function generateCommand(): Command {
  const command = new Command('generate')
    .description('complete a prompt: greedy, sampled, or by beam search')
    .requiredOption('--model <dir>', modelHelp, placeOf('model'))
    .addOption(adapterOption())
    .option('--prompt <text>', 'the text to continue')
    .option(
      '--suffix <text>',
      'the text after the gap that --prompt stands before: what fills it is completed',
    )
    .option('--ids <list>', 'the token ids to continue, such as 1,5,9', idList)
    .option(
      '--input <file>',
      'JSON {"prompts": ["…"]} or {"input_ids": [[…]]}: one completion each',
      placeOf('file'),
    )
    .option('--max-new-tokens <n>', 'tokens at most', whole, 128)
    .option('--temperature <t>', '0: greedy; above: sampled', number, 0)
    .option('--top-p <p>', 'sample among the likeliest tokens that reach p', number)
    .option('--top-k <k>', 'sample among the k likeliest tokens', whole)
    .option('--min-p <p>', 'sample among tokens at least p times as likely as the likeliest', number)
    .option(
      '--n <n>',
      'samples of each prompt, decoded together, their seeds one after the other',
      positive,
      1,
    )
    .option(
      '--num-beams <n>',
      'above 1: beam search; beams are drawn where --temperature is above 0',
      whole,
      1,
    )
    .option('--length-penalty <p>', 'beams count by Σ ln p / length^p; else 1', number)
    .addOption(
      new Option(
        '--early-stopping [when]',
        'end once all beams have finished; never: once none can get better; else once none of the present length is',
      ).choices(['never']),
    )
    .option('--repetition-penalty <x>', 'above 1: against all tokens of prompt and text', number)
    .option('--frequency-penalty <x>', 'off the logit of a token for each time the text has it', number)
    .option('--presence-penalty <x>', 'off the logits of tokens that the text has', number)
    .option('--logit-bias <id=x>', 'added to the logit of a token; may be repeated', logitBias)
    .option('--logprobs <n>', 'with --json: ln p of each token, and of the n likeliest in its place', whole)
    .option(
      '--stop <text>',
      'end before this text; may be repeated',
      (text: string, all: string[]) => [...all, text],
      [],
    )
    .option('--seed <n>', 'of the sampling', whole, 0)
    .option('--dtype <name>', dtypeHelp, 'auto')
    .addOption(quantizeOption());
  return withCommonOptions(withDevice(command)).action(run);
}

async function run({ adapter, ...options }: GenerateCommandOptions): Promise<void> {
  const output = outputOf(options);
  const given = ['prompt', 'ids', 'input'].filter(
    (key) => options[key as keyof typeof options] !== undefined,
  );
  if (given.length !== 1) throw new ConfigError('generate: give one of --prompt, --ids and --input');
  checkSampling(options);
  checkTogether(options);
  const tokenizer = tokenizerOf(options);
  checkContinuation({ ...options, tokenizer }, readConfig(options.model).vocabSize);
  const infill = options.suffix === undefined ? null : openInfill(tokenizer!);
  const prompts = infill ? [infill.prompt(options.prompt!, options.suffix!)] : promptsOf(options, tokenizer);
  const prompt = Math.max(...prompts.map(({ length }) => length));
  const length = prompt + options.maxNewTokens;
  const decoding = { rows: options.numBeams * options.n, prompt, length, batched: false };
  const { model, close } = await openModel({ ...options, adapter }, output, { decoding });
  const beyond = beyondContext(model.config, length);
  if (beyond) output.warn(`generate: ${beyond}`);
  // The text is the product: byte for byte for a file or a program, nothing that steers for a terminal.
  const shown = process.stdout.isTTY ? printableText : String;
  const stream = !output.json && prompts.length * options.n === 1 && options.numBeams === 1;
  const onText = stream ? (piece: string) => void process.stdout.write(shown(piece)) : undefined;
  const completions: Completion[] = [];
  for (const [i, ids] of prompts.entries()) {
    const seed = options.seed + i * options.n;
    const request = { ...options, seed, tokenizer, endIds: infill?.endIds, onText };
    for (const completion of await samplesOf(model, ids, request, options.n)) {
      completions.push(completion);
      if (stream) output.print();
      else output.printWhole(shown(completion.text));
      if (!tokenizer) output.print(completion.ids.join(','));
    }
  }
  output.emit({ completions, ...(model.quantized && { quantized: model.quantized }) });
  await close();
}

/** Throws ConfigError for options that do not go together. */
function checkTogether(options: GenerateCommandOptions): void {
  const { prompt, suffix, n, numBeams, temperature, logprobs, json } = options;
  if (suffix !== undefined && prompt === undefined)
    throw new ConfigError('--suffix: needs --prompt, which it follows');
  if (n > 1 && temperature === 0)
    throw new ConfigError('--n: above 1 needs --temperature above 0; else all samples are the same');
  if (n > 1 && numBeams > 1) throw new ConfigError('--n: above 1 takes no --num-beams');
  if (logprobs !== undefined && !json) throw new ConfigError('--logprobs: needs --json, which shows them');
}

/** `n` continuations of a prompt, the seeds of the others after that of the first. */
async function samplesOf(
  model: CausalLM,
  prompt: readonly number[],
  options: GenerateOptions & { readonly seed: number },
  n: number,
): Promise<readonly Completion[]> {
  if (n === 1) return [await generate(model, prompt, options)];
  const requests = Array.from({ length: n }, (_, i) => ({ ...options, prompt, seed: options.seed + i }));
  return generateAll(model, requests, { batchSize: n });
}

/** The model's tokenizer; ids can be continued without one, as long as nothing asks for text. */
function tokenizerOf({ model, prompt, input, stop }: GenerateCommandOptions): Tokenizer | undefined {
  try {
    return openTokenizer(model);
  } catch (error) {
    if (prompt !== undefined || stop.length > 0 || !(error instanceof DataError)) throw error;
    if (input !== undefined && 'prompts' in readInput(input)) throw error;
    return undefined;
  }
}

function readInput(path: string): z.infer<typeof inputSchema> {
  const parsed = inputSchema.safeParse(readJsonInput(path));
  if (!parsed.success)
    throw new DataError(`${path}: must be {"prompts": ["…", …]} or {"input_ids": [[1, 5], …]}`);
  return parsed.data;
}

function promptsOf(
  { prompt, ids, input }: GenerateCommandOptions,
  tokenizer?: Tokenizer,
): (readonly number[])[] {
  if (ids) return [ids];
  const content = input === undefined ? { prompts: [prompt as string] } : readInput(input);
  if ('input_ids' in content) return content.input_ids;
  return content.prompts.map((text) => (tokenizer as Tokenizer).encode(text));
}

function idList(text: string): number[] {
  const parts = text.split(',').map((part) => part.trim());
  if (!parts.every((part) => /^\d{1,9}$/.test(part))) {
    throw new InvalidArgumentError('It must be token ids with commas, such as 1,5,9.');
  }
  return parts.map(Number);
}

/** One more bias of a token, such as `5=-2.5`. */
function logitBias(text: string, before: ReadonlyMap<number, number> = new Map()): Map<number, number> {
  const [, id, bias] = /^(\d{1,9})=(.+)$/.exec(text) ?? [];
  if (id === undefined)
    throw new InvalidArgumentError('It must be a token id, = and a number, such as 5=-2.5.');
  return new Map([...before, [Number(id), number(bias)]]);
}
