import { printable } from '@flex/base';
import {
  type Comparison,
  compare,
  type DiscordantProblem,
  differenceText,
  type PassDifference,
  type PassKey,
  type ProblemSide,
  passKeys,
  readResults,
} from '@flex/eval';
import { structuredPatch } from 'diff';
import { bold, dim, type Output } from '../context.ts';
import { provenanceTexts } from '../provenance-text.ts';
import { newTable } from '../table.ts';
import { chalk } from '../terminal.ts';

/** What the table tells of both. */
const provenanceKeys = ['model', 'adapter', 'data', 'samples', 'code', 'when', 'where'] as const;

/** Lines that may be added and removed in a diff; beyond, two texts have little in common. */
const mostEdits = 2000;

export interface EvaluationOptions {
  readonly force: boolean;
  /** The k of pass@k; undefined: all that both have. */
  readonly k: readonly number[] | undefined;
  /** Whether answers that differ are shown. */
  readonly diff: boolean;
}

/** Two evaluations: the difference, whether it is chance, and where it lies. */
export function compareEvaluations(
  [folderA, folderB]: readonly [string, string],
  { force, k, diff }: EvaluationOptions,
  output: Output,
): void {
  const comparison = compare(readResults(folderA), readResults(folderB), { force, k });
  for (const difference of comparison.protocol_differences) {
    output.warn(`the protocols differ: ${differenceText(difference)}`);
  }
  output.emit(comparison);
  output.print(tableOf(comparison));
  commandsOf(comparison).forEach(output.print);
  summaryOf(comparison).forEach(output.print);
  for (const problem of comparison.discordant) {
    if (diff) output.print();
    output.print(headingOf(problem));
    if (diff) output.printWhole(diffOf(problem));
  }
  output.print();
  output.print(detectableOf(comparison.differences[comparison.headline], comparison.n));
}

function tableOf({ a, b, benchmark, n }: Comparison): string {
  const table = newTable({
    head: [printable(benchmark), bold('A'), bold('B')],
    colAligns: ['left', 'right', 'right'],
  });
  const sides = [a, b];
  table.push(
    ['folder', ...sides.map(({ folder }) => printable(folder))],
    ...passKeys(a).flatMap((key) => [
      [key, ...sides.map((side) => `${percent(side[key])} %`)],
      ['95 % interval', ...sides.map(({ intervals }) => `${intervals[key].map(percent).join(' to ')} %`)],
    ]),
    ['problems', n, n],
    ['samples a problem', ...sides.map(({ samples_per_problem }) => samples_per_problem)],
  );
  const [ofA, ofB] = sides.map(({ provenance }) => provenanceTexts(provenance));
  for (const key of provenanceKeys) table.push([key, ofA[key], ofB[key]]);
  return table.toString();
}

/** The commands, which are too long for a table. */
function commandsOf({ a, b }: Comparison): string[] {
  return [a, b].map(({ provenance }, i) => dim(`${'AB'[i]}: ${provenanceTexts(provenance).command}`));
}

/** The differences, the headline's first. */
function summaryOf({ differences, headline, left_out }: Comparison): string[] {
  const keys = [headline, ...passKeys(differences).filter((key) => key !== headline)];
  const lines = keys.flatMap((key) => differenceLines(key, differences[key]));
  if (left_out > 0) lines.push(`${left_out} problems left out, for which A or B has too few samples`);
  return lines;
}

function differenceLines(key: PassKey, { difference, ci95, test, only_a, only_b }: PassDifference): string[] {
  const p = bold(test.p < 1e-4 ? 'p < 0.0001' : `p = ${test.p.toFixed(4)}`);
  return [
    `${key}, B less A: ${bold(`${signed(difference)} points`)}, ` +
      `95 % interval ${ci95.map(signed).join(' to ')}`,
    test.name === 'mcnemar'
      ? `  passed by A alone ${only_a}, by B alone ${only_b}; exact McNemar test, two-sided: ${p}`
      : `  A better on ${only_a} problems, B on ${only_b}; paired permutation test, two-sided: ${p} ` +
        "(McNemar's test is for problems that are passed or not)",
  ];
}

/** What the benchmark could have shown at all. */
function detectableOf({ detectable, test, only_a, only_b }: PassDifference, n: number): string {
  const { significant, powered } = detectable;
  const discordant = only_a + only_b;
  const unlike = `${n} problems, of which ${discordant} tell A and B apart,`;
  if (significant === null) {
    return discordant < 6
      ? `${unlike} cannot show a difference: no split of fewer than 6 has p ≤ 0.05.`
      : `${unlike} cannot show a difference.`;
  }
  const net = test.name === 'mcnemar' ? ` (${Math.round(significant * n)} problems net)` : '';
  const smallest =
    `The smallest difference that ${unlike} could have shown at p ≤ 0.05 is ` +
    `${percent(significant)} points${net}`;
  return powered === null
    ? `${smallest}; none that they can have is found 80 % of the time.`
    : `${smallest}; a true difference of ${percent(powered)} points is found 80 % of the time.`;
}

function headingOf({ task_id, language, a, b }: DiscordantProblem): string {
  const side = (name: string, { n, c, verdict, detail }: ProblemSide) => {
    const passed = verdict === 'passed';
    const word = n === 1 ? verdict : `${c}/${n} passed`;
    const why = passed || detail === '' ? '' : `: ${printable(detail)}`;
    return `${name} ${passed ? chalk.green(word) : chalk.red(word)}${why}`;
  };
  return `${bold(printable(task_id))} ${dim(`(${language})`)}  ${side('A', a)}  ${side('B', b)}`;
}

/** A unified diff from A's answer to B's, red and green. */
function diffOf({ a, b }: DiscordantProblem): string {
  if (a.answer === null || b.answer === null) {
    const [name, answer] = a.answer === null ? ['A', b.answer] : ['B', a.answer];
    return [dim(`  ${name} has no sample; the other is`), ...linesOf(answer?.text ?? '')].join('\n');
  }
  const [textA, textB] = [a.answer.text, b.answer.text].map((text) => `${text.replace(/\n$/, '')}\n`);
  const patch = structuredPatch('A', 'B', textA, textB, '', '', { context: 3, maxEditLength: mostEdits });
  if (patch === undefined) return dim(`  they differ in more than ${mostEdits} lines`);
  if (patch.hunks.length === 0) return dim('  the same text');
  const lines = patch.hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines }) => [
    chalk.cyan(`  @@ -${oldStart},${oldLines} +${newStart},${newLines} @@`),
    ...lines.map((line) => colourOf(line)(`  ${printable(line)}`)),
  ]);
  return [chalk.red('  --- A'), chalk.green('  +++ B'), ...lines].join('\n');
}

function linesOf(text: string): string[] {
  return text.split('\n').map((line) => `    ${printable(line)}`);
}

function colourOf(line: string): (text: string) => string {
  if (line.startsWith('+')) return chalk.green;
  return line.startsWith('-') ? chalk.red : String;
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}

function signed(share: number): string {
  return `${share < 0 ? '−' : '+'}${percent(Math.abs(share))}`;
}
