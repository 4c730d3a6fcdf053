import { bytesText, printable } from '@flex/base';
import { Command, Option } from 'commander';
import { oneAdapter } from '../adapter-option.ts';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { shareText } from '../layer-errors.ts';
import { modelHelp } from '../open-model.ts';
import { placeOf } from '../option-values.ts';
import { type MergeOptions, mergeDTypes, writeMerged } from '../write-merged.ts';

interface MergeCommandOptions extends CommonOptions, MergeOptions {}

export function mergeCommand(): Command {
  const command = new Command('merge')
    .description(
      'fold an adapter into the weights and write a model that transformers loads: W + s·B·A, rounded once',
    )
    .requiredOption('--model <dir>', modelHelp, placeOf('model'))
    .requiredOption('--adapter <dir>', 'a PEFT adapter on top of it', oneAdapter)
    .requiredOption(
      '--out <dir>',
      'the folder to write, which must not be there or be empty',
      placeOf('output'),
    )
    .addOption(
      new Option(
        '--dtype <name>',
        "how the weights are stored; else as config.json says the model's are",
      ).choices(mergeDTypes),
    )
    .addOption(
      new Option(
        '--round-to <type>',
        'also round the linear layers but the head to the values of this type; they are stored as --dtype all ' +
          'the same, and what is lost of the adapter is reported',
      ).choices(['int8', 'nf4']),
    );
  return withCommonOptions(command).action(run);
}

async function run(options: MergeCommandOptions): Promise<void> {
  const output = outputOf(options);
  const { warnings, ...report } = await writeMerged(options);
  for (const line of warnings) output.warn(line);
  output.emit(report);
  const { out, dtype, rounded_to, changed, tensors, files, bytes, rounding } = report;
  const size = `${bytesText(bytes)} in ${files.length === 1 ? 'a file' : `${files.length} files`}`;
  output.print(
    `${printable(out)}: ${tensors} tensors as ${dtype}, ${size}; the adapter changed ${changed} of them`,
  );
  if (rounding === null) return;
  output.print(`stored as ${dtype}, with the values of ${rounded_to} in the linear layers but the head`);
  const worst =
    rounding.worst && `; most in ${printable(rounding.worst.weight)}, ${shareText(rounding.worst.error)}`;
  output.print(
    `rounding to ${rounded_to} against what the adapter changed: ${shareText(rounding.all)}${worst ?? ''}`,
  );
}
