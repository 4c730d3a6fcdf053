import { beyondContext, finiteLogits, forward, logits } from '@flex/llama';
import { reshape, scope, tensor } from '@flex/tensor';
import { writeSafetensors } from '@flex/tensor/safetensors';
import { Command } from 'commander';
import { adapterOption } from '../adapter-option.ts';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { readTokenInput } from '../json-input.ts';
import { dtypeHelp, type ModelOptions, modelHelp, openModel, quantizeOption } from '../open-model.ts';
import { placeOf } from '../option-values.ts';

interface LogitsOptions extends CommonOptions, ModelOptions {
  readonly input: string;
  readonly out: string;
}

export function logitsCommand(): Command {
  const command = new Command('logits')
    .description('run a model on token ids and write the logits as safetensors')
    .requiredOption('--model <dir>', modelHelp, placeOf('model'))
    .addOption(adapterOption())
    .requiredOption(
      '--input <file>',
      'JSON {"input_ids": [[…]], "attention_mask": [[…]]}, right padded',
      placeOf('file'),
    )
    .requiredOption(
      '--out <file>',
      'where to write the tensor "logits", f32 [batch, time, vocabulary]',
      placeOf('output'),
    )
    .option('--dtype <name>', dtypeHelp, 'f32')
    .addOption(quantizeOption());
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(options: LogitsOptions): Promise<void> {
  const output = outputOf(options);
  const { model, backend, close } = await openModel(options, output);
  const { vocabSize } = model.config;
  const { b, t, ids, lengths } = readTokenInput(options.input, vocabSize);
  const beyond = beyondContext(model.config, t);
  if (beyond) output.warn(`logits: ${beyond}`);
  const result = scope(() => {
    const hidden = forward(model, tensor(backend, ids, [b, t], 'i32'));
    return reshape(logits(model, hidden), [b, t, vocabSize]);
  });
  const data = Float32Array.from(await result.data());
  for (const [row, length] of lengths.entries()) {
    const at = (position: number) => (row * t + position) * vocabSize;
    // Logits at padding mean nothing; zeros say so.
    data.fill(0, at(length), at(t));
    for (let i = 0; i < length; i++) {
      finiteLogits(data.subarray(at(i), at(i + 1)), `at position ${i} of row ${row}`);
    }
  }
  writeSafetensors(options.out, new Map([['logits', { dtype: 'F32', shape: [b, t, vocabSize], data }]]));
  output.print(`${options.out}: logits f32 [${b}, ${t}, ${vocabSize}]`);
  const quantized = model.quantized && { quantized: model.quantized };
  output.emit({ out: options.out, shape: [b, t, vocabSize], ...quantized });
  await close();
}
