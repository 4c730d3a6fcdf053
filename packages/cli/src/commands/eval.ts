import { availableParallelism } from 'node:os';
import { incompletes, passKeys, type Results, truncations } from '@flex/eval';
import { Command, InvalidArgumentError, Option } from 'commander';
import { adapterOption } from '../adapter-option.ts';
import {
  bold,
  type CommonOptions,
  dim,
  type Output,
  outputOf,
  withCommonOptions,
  withDevice,
} from '../context.ts';
import { dtypeHelp } from '../open-model.ts';
import { number, positive, whole } from '../option-values.ts';
import { type BenchmarkOptions, runEvaluation, untilInterrupted } from '../run-evaluation.ts';
import { newTable } from '../table.ts';

interface EvalCommandOptions extends CommonOptions, BenchmarkOptions {}

export function evalCommand(): Command {
  const command = new Command('eval')
    .description(
      'generate completions for a benchmark, or take a file of them; judge them in a sandbox; report pass@k',
    )
    .argument('[options...]', "key=value: options of a benchmark's own")
    .requiredOption(
      '--benchmark <name>',
      'humaneval, mbpp, multipl-e:LANG, mbxp:java, apps, FILE.jsonl, or a module such as ./mine.ts',
    )
    .option(
      '--data <path>',
      "the benchmark's own file or folder; else it is looked up in FLEX_DATA, or ./data",
    )
    .option('--split <split>', 'train, validation, test, prompt, all, or task ids such as 11-510')
    .option('--prompt <format>', 'raw or stripped (HumanEval); docstring, all-tests or few-shot (MBPP)')
    .option(
      '--samples <file>',
      'completions to judge: JSON Lines {"task_id", "completion"}, and other harnesses\' files or folders',
    )
    .option('--model <dir>', 'a Hugging Face Llama directory that generates the completions')
    .addOption(adapterOption())
    .option('--merged', 'with the adapter folded into the weights, rounded to their type')
    .option('--n <n>', 'samples a problem; more than one needs --temperature with a model', positive)
    .option('--k <list>', 'the k of pass@k, such as 1,10', kList, [1])
    .option('--temperature <t>', '0: greedy; above: sampled', number)
    .option('--top-p <p>', 'sample among the likeliest tokens that reach p', number)
    .option('--top-k <k>', 'sample among the k likeliest tokens', positive)
    .option('--num-beams <n>', 'above 1: beam search', positive)
    .option('--max-new-tokens <n>', 'tokens of a completion at most', positive)
    .option('--seed <n>', 'of the sampling', whole)
    .option('--batch-size <n>', 'prompts decoded at once; else 8. Each takes memory for its tokens', positive)
    .option('--dtype <name>', dtypeHelp)
    .addOption(
      new Option(
        '--truncate <preset>',
        'what is cut off a completion; stop-list with a model, else none',
      ).choices(truncations),
    )
    .addOption(
      new Option(
        '--incomplete <policy>',
        'problems with fewer samples than others (fail), or than the largest k (drop)',
      )
        .choices(incompletes)
        .default('fail'),
    )
    .option('--out <dir>', 'the folder of results; the same command goes on from what is there')
    .option(
      '--timeout <seconds>',
      "seconds of one program's check, and of its compilation in Java; else 10, and 15 and 10 for Java",
      seconds,
    )
    .option('--jobs <n>', 'programs judged at once', positive, availableParallelism());
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(
  settings: readonly string[],
  options: Omit<EvalCommandOptions, 'settings'>,
  command: Command,
): Promise<void> {
  const output = outputOf(options);
  await untilInterrupted(command, { ...options, output }, async (context) => {
    const { results, out } = await runEvaluation({ ...options, settings }, context);
    output.emit({ ...results, out });
    describe(results, output);
    if (results.counts.missing > 0 && options.incomplete === 'fail') {
      output.note(`missing samples count as failed: ${results.counts.missing}; see --incomplete`);
    }
    output.print(dim(`results: ${out}`));
  });
}

function describe(results: Results, output: Output): void {
  const table = newTable({ colAligns: ['left', 'right'] });
  const [low, high] = results.ci95.map(percent);
  for (const key of passKeys(results)) {
    const interval = key === 'pass@1' ? `  (95 %: ${low} to ${high})` : '';
    table.push([bold(key), `${percent(results[key])}${interval}`]);
  }
  const dropped = results.dropped > 0 ? `, ${results.dropped} dropped for want of samples` : '';
  table.push(['problems', `${results.n}${dropped}`], ['samples a problem', results.samples_per_problem]);
  const tallies = [
    ...Object.entries(results.counts).filter(([, count]) => count > 0),
    ...Object.entries(results.assurance).filter(([name, count]) => name !== 'isolated' && count > 0),
  ];
  for (const [name, count] of tallies) table.push([name.replaceAll('_', ' '), count]);
  output.print(table.toString());
  const failures = Object.entries(results.failures).filter(([, count]) => count > 0);
  if (failures.length > 0) {
    output.print(`why not: ${failures.map(([name, count]) => `${name} ${count}`).join(', ')}`);
  }
  output.print(`protocol: ${results.protocol}`);
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

function kList(text: string): number[] {
  if (!/^[1-9]\d{0,5}(,[1-9]\d{0,5})*$/.test(text)) {
    throw new InvalidArgumentError('It must be whole numbers from 1 with commas, such as 1,10.');
  }
  return text.split(',').map(Number);
}

function seconds(text: string): number {
  const value = number(text);
  if (value <= 0 || value > 86_400) {
    throw new InvalidArgumentError('It must be a number above 0, at most 86400.');
  }
  return value;
}
