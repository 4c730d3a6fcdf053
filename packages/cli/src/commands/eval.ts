import { availableParallelism } from 'node:os';
import { incompletes, type Results, truncations } from '@flex/eval';
import { Command, InvalidArgumentError, Option } from 'commander';
import { adapterOption } from '../adapter-option.ts';
import { type CommonOptions, dim, type Output, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { dtypeHelp, modelHelp, quantizeOption } from '../open-model.ts';
import { benchmarkName, kList, number, placeOf, positive, whole } from '../option-values.ts';
import { provenanceLines } from '../provenance-text.ts';
import { type BenchmarkOptions, runEvaluation, untilInterrupted } from '../run-evaluation.ts';
import { scoreTable } from '../score-table.ts';

interface EvalCommandOptions extends CommonOptions, BenchmarkOptions {}

export function evalCommand(): Command {
  const command = new Command('eval')
    .description(
      'generate completions for a benchmark, or take a file of them; judge them in a sandbox; report pass@k',
    )
    .argument('[options...]', "key=value: options of a benchmark's own")
    .requiredOption(
      '--benchmark <name>',
      'humaneval, mbpp, humaneval+, mbpp+, multipl-e:LANG, mbxp:java, apps, FILE.jsonl, or a module such as ./mine.ts',
      benchmarkName,
    )
    .option(
      '--data <path>',
      "the benchmark's own file or folder; else it is looked up in FLEX_DATA, or ./data",
      placeOf('dataset'),
    )
    .option('--split <split>', 'train, validation, test, prompt, all, or task ids such as 11-510')
    .option(
      '--prompt <format>',
      'raw or stripped (HumanEval, EvalPlus); docstring, all-tests or few-shot (MBPP)',
    )
    .option(
      '--samples <file>',
      'completions to judge: JSON Lines {"task_id", "completion"}, and other harnesses\' files or folders',
      placeOf('file'),
    )
    .option('--model <dir>', `${modelHelp}, which generates the completions`, placeOf('model'))
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
    .addOption(quantizeOption())
    .addOption(
      new Option(
        '--truncate <preset>',
        'what is judged of a completion (fenced: the code of a chat answer); stop-list with a model, else none',
      ).choices(truncations),
    )
    .addOption(
      new Option(
        '--incomplete <policy>',
        'samples that a problem lacks fail (fail), or it is left out if it has fewer than the largest k (drop)',
      )
        .choices(incompletes)
        .default('fail'),
    )
    .option(
      '--out <dir>',
      'the folder of results; the same command goes on from what is there',
      placeOf('output'),
    )
    .option('--overwrite', 'replace the results in it; completions and judgements that still fit are kept')
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
    const { results, out, hint } = await runEvaluation({ ...options, settings }, context);
    output.emit({ ...results, out });
    describe(results, output);
    if (results.counts.missing > 0 && options.incomplete === 'fail') {
      output.note(`missing samples count as failed: ${results.counts.missing}; see --incomplete`);
    }
    if (hint !== null) output.note(hint);
    output.print(dim(`results: ${out}`));
  });
}

function describe(results: Results, output: Output): void {
  output.print(scoreTable(results));
  const failures = Object.entries(results.failures).filter(([, count]) => count > 0);
  if (failures.length > 0) {
    output.print(`why not: ${failures.map(([name, count]) => `${name} ${count}`).join(', ')}`);
  }
  output.print(`protocol: ${results.protocol}`);
  if (results.provenance) for (const line of provenanceLines(results.provenance)) output.print(dim(line));
}

function seconds(text: string): number {
  const value = number(text);
  if (value <= 0 || value > 86_400) {
    throw new InvalidArgumentError('It must be a number above 0, at most 86400.');
  }
  return value;
}
