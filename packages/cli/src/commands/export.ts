import { bytesText, printable } from '@flex/base';
import { ggufDTypes } from '@flex/gguf';
import { Command, Option } from 'commander';
import { oneAdapter } from '../adapter-option.ts';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { type ExportGgufOptions, exportGguf } from '../export-gguf.ts';
import { modelHelp } from '../open-model.ts';
import { placeOf } from '../option-values.ts';

interface GgufOptions extends CommonOptions, ExportGgufOptions {}

export function exportCommand(): Command {
  const command = new Command('export').description('write a model or an adapter as others read it');
  const gguf = command
    .command('gguf')
    .description(
      'a GGUF file, as llama.cpp reads it: a model, with an adapter merged in or the adapter alone',
    )
    .requiredOption('--model <dir>', modelHelp, placeOf('model'))
    .option('--adapter <dir>', 'a PEFT adapter to merge into it', oneAdapter)
    .option('--adapter-only', 'write the adapter alone, as a LoRA for a GGUF file of the model')
    .requiredOption('--out <file>', 'the file to write, which must not be there', placeOf('output'))
    .addOption(
      new Option(
        '--dtype <name>',
        "how matrices are stored; else as config.json says the model's are, and an adapter alone as f32",
      ).choices(Object.keys(ggufDTypes)),
    );
  withCommonOptions(gguf).action(runGguf);
  return command;
}

async function runGguf(options: GgufOptions): Promise<void> {
  const output = outputOf(options);
  const { warnings, ...report } = await exportGguf(options);
  for (const line of warnings) output.warn(line);
  output.emit(report);
  const { out, dtype, tensors, parameters, bytes } = report;
  const count = parameters.toLocaleString('en-US');
  output.print(
    `${printable(out)}: ${tensors} tensors, ${count} numbers, matrices as ${dtype}; ${bytesText(bytes)}`,
  );
}
