import { DataError } from '@flex/base';
import { newDecoder, openChatTemplate, openTokenizer, readConfig } from '@flex/llama';
import { Command } from 'commander';
import { adapterOption } from '../adapter-option.ts';
import { type Answer, chatSession } from '../chat-session.ts';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { exitCode } from '../failure.ts';
import { interruptible } from '../interruption.ts';
import { write } from '../live-line.ts';
import { dtypeHelp, type ModelOptions, modelHelp, openModel, quantizeOption } from '../open-model.ts';
import { number, placeOf, positive, shareAboveZero, whole } from '../option-values.ts';
import { printableText } from '../printable-text.ts';

interface ChatCommandOptions extends CommonOptions, ModelOptions {
  readonly system?: string;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
}

export function chatCommand(): Command {
  const command = new Command('chat')
    .description('talk with a model, a line a turn, from a terminal or a pipe')
    .requiredOption('--model <dir>', modelHelp, placeOf('model'))
    .addOption(adapterOption())
    .option('--system <text>', 'the message that the chat begins with')
    .option('--max-new-tokens <n>', 'tokens of an answer at most', positive, 512)
    .option('--temperature <t>', '0: greedy; above: sampled', number, 0.7)
    .option('--top-p <p>', 'sample among the likeliest tokens that reach p', shareAboveZero, 0.95)
    .option('--seed <n>', 'of the sampling', whole, 0)
    .option('--dtype <name>', dtypeHelp, 'auto')
    .addOption(quantizeOption());
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(options: ChatCommandOptions, command: Command): Promise<void> {
  const output = outputOf(options);
  const { model: dir, system, maxNewTokens } = options;
  const template = openChatTemplate(dir);
  const tokenizer = openTokenizer(dir);
  const { maxPositions } = readConfig(dir);
  const prompt = Math.min(maxNewTokens, maxPositions);
  const length = Math.min(2 * maxNewTokens, maxPositions);
  const decoding = { rows: 1, prompt, length, batched: false };
  const { model, close } = await openModel(options, output, { decoding });
  const decoder = newDecoder(model, 1);
  let turns = 0;
  const answer: Answer = async (messages, { onText, signal }) => {
    // The template writes the beginning of the text too.
    const prompt = tokenizer.encode(template.render(messages, { ask: true }), { bos: false });
    const room = maxPositions - prompt.length;
    if (room < 1)
      throw new DataError(
        `the chat's ${prompt.length} tokens fill the context of ${maxPositions}; /reset begins anew`,
      );
    const sampling = {
      temperature: options.temperature,
      ...(options.temperature > 0 && { topP: options.topP }),
    };
    const length = { maxNewTokens: Math.min(maxNewTokens, room) };
    const request = { prompt, tokenizer, seed: options.seed + turns++, ...length, ...sampling };
    await decoder.submit(request, { onText, signal });
  };
  const isTyped = process.stdin.isTTY && process.stderr.isTTY;
  const shown = process.stdout.isTTY ? printableText : String;
  await interruptible(command, { stop: () => {} }, async (signal) => {
    if (isTyped) output.note('/help has the commands');
    const isLeft = await chatSession({
      input: process.stdin,
      terminal: isTyped ? process.stderr : null,
      system,
      answer,
      onText: (piece) => {
        if (!output.json) write(process.stdout, shown(piece));
      },
      onAnswer(text) {
        output.print();
        output.emit({ role: 'assistant', content: text });
      },
      note: output.warn,
      signal,
    });
    if (isLeft) command.setOptionValue('exitCode', exitCode.interrupted);
  });
  await decoder.close();
  await close();
}
