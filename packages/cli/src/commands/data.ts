import { printable } from '@flex/base';
import {
  describeKind,
  findOverlaps,
  kindWords,
  type NamedRows,
  type OverlappingRows,
  overlapKinds,
  overlapRule,
  parseSourceSplit,
  placeOf,
  type RowPrint,
  readPrints,
  type SetOverlap,
} from '@flex/datasets';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { exitCode } from '../failure.ts';
import { newTable } from '../table.ts';
import { fetchCommand } from './fetch.ts';

interface AuditOptions extends CommonOptions {
  readonly against: readonly string[];
}

/** Pairs of rows that are shown of each set. */
const shown = 50;

export function dataCommand(): Command {
  const data = new Command('data').description('what rows of data are');
  const audit = data
    .command('audit')
    .description('which rows are in other sets too, such as benchmarks: by id, by text, by n-grams')
    .argument('<file>', 'the rows, such as training data: FILE, or FILE:SPLIT as mbpp.jsonl:11-510')
    .requiredOption(
      '--against <file>',
      'rows that should not be among them: FILE or FILE:SPLIT; may be given several times',
      (file: string, before: readonly string[] = []) => [...before, file],
    )
    .addHelpText(
      'after',
      '\nFiles are JSON Lines, Parquet or folders, as in docs/data.md; HumanEval, MBPP, MBXP, MultiPL-E and APPS too.' +
        '\nExit code 0: no row is the same as another; near-duplicates and the same task in another language are' +
        '\nreported and leave 0. Exit code 1: some row has the text of another, or is the same task by its id.',
    );
  withCommonOptions(audit).action(run);
  data.addCommand(fetchCommand('dataset'));
  return data;
}

async function run(file: string, { against, ...common }: AuditOptions, command: Command): Promise<void> {
  const output = outputOf(common);
  const source = parseSourceSplit(file);
  const sets: NamedRows[] = [];
  for (const name of against) {
    const rows: RowPrint[] = [];
    for await (const row of readPrints(parseSourceSplit(name))) rows.push(row);
    sets.push({ name, rows });
  }
  const overlaps = await findOverlaps(readPrints(source), sets);
  output.emit({ file, rule: overlapRule, ...overlaps });
  output.print(
    `${printable(file)}: ${overlaps.rows} rows, ${overlaps.duplicates} duplicates of a row before`,
  );
  for (const set of overlaps.sets) {
    output.print();
    for (const line of describe(set)) output.print(line);
  }
  if (overlaps.sets.some(({ same }) => same.of > 0)) {
    command.setOptionValue('exitCode', exitCode.failed);
  }
}

function describe({ name, rows, counts, pairs }: SetOverlap): string[] {
  const title = `against ${printable(name)}, ${rows} rows`;
  if (pairs.length === 0) return [`${title}: no overlap`];
  const kinds = overlapKinds.flatMap((kind) => {
    const count = counts[kind];
    return count ? [`  ${count.of} of them and ${count.rows} of the file: ${kindWords[kind]}`] : [];
  });
  const table = newTable({ head: ['row', 'of the other set', 'overlap'] });
  const sorted = overlapKinds.flatMap((kind) => pairs.filter((pair) => pair.kind === kind));
  for (const pair of sorted.slice(0, shown)) table.push(cellsOf(pair));
  const more = pairs.length - shown;
  return [
    `${title}:`,
    ...kinds,
    table.toString(),
    ...(more > 0 ? [`and ${more} more, all with --json`] : []),
  ];
}

function cellsOf(pair: OverlappingRows): string[] {
  return [printable(placeOf(pair.row)), printable(placeOf(pair.of)), describeKind(pair)];
}
