import { ConfigError, DataError, printable } from '@flex/base';
import { type Completion, generate, openTokenizer, type Tokenizer } from '@flex/llama';
import { Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { adapterOption } from '../adapter-option.ts';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { readJsonInput } from '../json-input.ts';
import { dtypeHelp, type ModelOptions, openModel } from '../open-model.ts';
import { number, whole } from '../option-values.ts';
import { checkSampling } from '../sampling-options.ts';

interface GenerateCommandOptions extends CommonOptions, ModelOptions {
  readonly prompt?: string;
  readonly ids?: readonly number[];
  readonly input?: string;
  readonly maxNewTokens: number;
  readonly numBeams: number;
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
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
    .requiredOption('--model <dir>', 'a Hugging Face Llama directory')
    .addOption(adapterOption())
    .option('--prompt <text>', 'the text to continue')
    .option('--ids <list>', 'the token ids to continue, such as 1,5,9', idList)
    .option('--input <file>', 'JSON {"prompts": ["…"]} or {"input_ids": [[…]]}: one completion each')
    .option('--max-new-tokens <n>', 'tokens at most', whole, 128)
    .option('--num-beams <n>', 'above 1: beam search', whole, 1)
    .option('--temperature <t>', '0: greedy; above: sampled', number, 0)
    .option('--top-p <p>', 'sample among the likeliest tokens that reach p', number)
    .option('--top-k <k>', 'sample among the k likeliest tokens', whole)
    .option(
      '--stop <text>',
      'end before this text; may be repeated',
      (text: string, all: string[]) => [...all, text],
      [],
    )
    .option('--seed <n>', 'of the sampling', whole, 0)
    .option('--dtype <name>', dtypeHelp, 'auto');
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(options: GenerateCommandOptions): Promise<void> {
  const output = outputOf(options);
  const given = ['prompt', 'ids', 'input'].filter(
    (key) => options[key as keyof GenerateCommandOptions] !== undefined,
  );
  if (given.length !== 1) throw new ConfigError('generate: give one of --prompt, --ids and --input');
  checkSampling(options);
  if (options.numBeams > 1 && options.stop.length > 0) {
    throw new ConfigError('--num-beams: above 1 takes no --stop');
  }
  const tokenizer = tokenizerOf(options);
  const prompts = promptsOf(options, tokenizer);
  const { model, close } = await openModel(options, output);
  // The text is the product: byte for byte for a file or a program, nothing that steers for a terminal.
  const shown = process.stdout.isTTY ? printableText : String;
  const stream = !output.json && prompts.length === 1 && options.numBeams === 1;
  const completions: Completion[] = [];
  for (const [i, ids] of prompts.entries()) {
    const seed = options.seed + i;
    const onText = stream ? (piece: string) => void process.stdout.write(shown(piece)) : undefined;
    const completion = await generate(model, ids, { ...options, seed, tokenizer, onText });
    completions.push(completion);
    if (stream) output.print();
    else output.print(shown(completion.text));
    if (!tokenizer) output.print(completion.ids.join(','));
  }
  output.emit({ completions });
  await close();
}

function printableText(text: string): string {
  return text.split('\n').map(printable).join('\n');
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
