import { basename, resolve } from 'node:path';
import { ConfigError, hubName } from '@flex/base';
import {
  type CausalLM,
  type ChatTemplate,
  newDecoder,
  openChatTemplate,
  openTokenizer,
  readConfig,
} from '@flex/llama';
import { newTurns, serve } from '@flex/serve';
import { Command } from 'commander';
import { withChosenAdapters } from '../adapter-option.ts';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { environment } from '../environment.ts';
import { interruptible } from '../interruption.ts';
import { namedAdapterOption } from '../named-adapters.ts';
import { dtypeHelp, type ModelOptions, modelHelp, openModel, quantizeOption } from '../open-model.ts';
import { placeOf, port, positive } from '../option-values.ts';

interface ServeCommandOptions extends CommonOptions, Omit<ModelOptions, 'adapter'> {
  readonly adapter: ReadonlyMap<string, string>;
  readonly host?: string;
  readonly port?: number;
  readonly batchSize: number;
  readonly maxLength?: number;
}

/** Milliseconds in which answers end that are being given when the server is asked to end. */
const grace = 30_000;

export function serveCommand(): Command {
  const command = new Command('serve')
    .description("a model as a server of this machine, with OpenAI's interface")
    .requiredOption('--model <dir>', modelHelp, placeOf('model'))
    .addOption(namedAdapterOption())
    .option('--host <address>', 'of another interface than this machine’s own; it needs FLEX_SERVE_KEY')
    .option('--port <n>', '8000 or one of the next ten if left out; 0 for any that is free', port)
    .option('--batch-size <n>', 'texts that are continued at the same time', positive, 8)
    .option(
      '--max-length <n>',
      "tokens of a text with its prompt at most; the model's context if left out",
      positive,
    )
    .option('--dtype <name>', dtypeHelp, 'auto')
    .addOption(quantizeOption());
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(options: ServeCommandOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  const { model: dir, batchSize: slots, host, port } = options;
  const name = nameOf(dir);
  const tokenizer = openTokenizer(dir);
  const { maxPositions } = readConfig(dir);
  const { maxLength = maxPositions } = options;
  if (maxLength > maxPositions)
    throw new ConfigError(
      `--max-length: must be at most the model's context of ${maxPositions}, got ${maxLength}`,
    );
  if (options.adapter.has(name))
    throw new ConfigError(
      `--adapter: ${name} is what the model is called; write another name, = and the folder`,
    );
  const chatTemplate = chatTemplateOf(dir);
  const decoding = { rows: slots, prompt: maxLength, length: maxLength, batched: true };
  const { model, close } = await openModel({ ...options, adapter: undefined }, output, { decoding });
  const adapters = new Map<string, CausalLM>();
  for (const [adapter, dir] of options.adapter)
    adapters.set(adapter, await withChosenAdapters(model, [{ dir, weight: 1 }], output.warn));
  const turns = newTurns();
  const decoder = newDecoder(model, slots, { adapters, pause: turns.pause });
  const server = await serve(
    { decoder, slots, name, adapters: [...adapters.keys()], tokenizer, chatTemplate, turns, maxLength },
    { host, port, key: environment.serveKey },
  );
  await interruptible(command, { stop: () => {} }, async (signal) => {
    output.emit({ address: server.address, models: [name, ...adapters.keys()] });
    output.printWhole(server.address);
    output.note(`models: ${[name, ...adapters.keys()].join(', ')}; Ctrl-C ends it`);
    if (!chatTemplate) output.note('the model has no chat template: it answers /v1/completions alone');
    const asked = new Promise<null>((end) => {
      if (signal.aborted) end(null);
      signal.addEventListener('abort', () => end(null), { once: true });
    });
    const loss = await Promise.race([asked, server.lost]);
    if (loss) {
      await server.close();
      throw loss;
    }
    if (server.texts > 0) output.note(`ends ${server.texts} texts first, at most ${grace / 1000} seconds`);
    await server.close(grace);
    await decoder.close();
    await close();
  });
}

/** What requests call the model of a folder: the hub's name, else the folder's. */
function nameOf(dir: string): string {
  return hubName(dir)?.replace(/@[0-9a-f]{40}$/, '') ?? basename(resolve(dir));
}

function chatTemplateOf(dir: string): ChatTemplate | null {
  try {
    return openChatTemplate(dir);
  } catch (error) {
    // There is none; one that is malformed is a DataError.
    if (error instanceof ConfigError) return null;
    throw error;
  }
}
