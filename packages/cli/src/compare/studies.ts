import { printable } from '@flex/base';
import {
  type ArmComparison,
  analyse,
  type Contrast,
  compareStudies,
  type Estimate,
  type Measure,
  type StudyAnalysis,
  type StudyRecord,
  signed,
  withUnit,
} from '@flex/study';
import { bold, type Output } from '../context.ts';
import { fromHere } from '../from-here.ts';
import { newTable } from '../table.ts';
import { pCell } from './p-cell.ts';

/** A study: its arms, what they differ by, and what follows. */
export function tellStudy(record: StudyRecord, output: Output): void {
  const analysis = analyse(record);
  const { measures, contrasts, conclusions, caveats } = analysis;
  output.emit({ folder: record.folder, ...analysis });
  output.print(bold(printable(fromHere(record.folder))));
  if (measures.length > 0) output.print(armTable(analysis));
  if (contrasts.length > 0) {
    const against = ({ against }: Contrast) => against ?? 'the model before';
    output.print(
      differenceTable(
        contrasts.map((one) => ({ ...one, pair: `${one.arm} less ${against(one)}` })),
        measures,
      ),
    );
  }
  for (const [title, lines] of [
    ['What follows', [...conclusions.overall, ...conclusions.armByArm]],
    ['What limits it', caveats],
  ] as const) {
    if (lines.length === 0) continue;
    output.print();
    output.print(bold(title));
    lines.map((line) => `- ${printable(line)}`).forEach(output.print);
  }
}

/** Arms by measures: means with their intervals over seeds. */
export function armTable({
  measures,
  arms,
  base,
}: Pick<StudyAnalysis, 'measures' | 'arms' | 'base'>): string {
  const table = newTable({
    head: ['arm', 'seeds', ...measures.map(({ name, unit }) => `${printable(name)}, ${unitOf(unit)}`)],
    colAligns: ['left', 'right', ...measures.map(() => 'right' as const)],
  });
  const before = measures.map((measure) => {
    const known = base.find((one) => one.measure === measure.name);
    return known ? plain(known.value, measure) : '';
  });
  if (base.length > 0) table.push(['before any update', '', ...before]);
  for (const arm of new Set(arms.map((result) => result.arm))) {
    const own = arms.filter((result) => result.arm === arm);
    const means = measures.map((measure) => {
      const result = own.find((one) => one.measure === measure.name);
      return result ? estimateText(result.mean, measure) : '';
    });
    table.push([printable(arm), Math.max(...own.map(({ bySeed }) => bySeed.length)), ...means]);
  }
  return table.toString();
}

/** Two studies by the arms that both have. */
export function compareTwoStudies(a: StudyRecord, b: StudyRecord, output: Output): void {
  const comparison = compareStudies(a, b);
  const { measures, arms, only_a, only_b, not_compared } = comparison;
  output.emit(comparison);
  output.print(`A ${printable(fromHere(a.folder))}`);
  output.print(`B ${printable(fromHere(b.folder))}`);
  const pairOf = ({ arm, isSame }: ArmComparison) => (isSame ? `${arm} (the same runs)` : arm);
  output.print(
    differenceTable(
      arms.map((one) => ({ ...one, pair: pairOf(one) })),
      measures,
    ),
  );
  for (const [name, only] of [
    ['A', only_a],
    ['B', only_b],
  ] as const) {
    if (only.length > 0) output.print(`In ${name} alone: ${printable(only.join(', '))}`);
  }
  for (const line of not_compared) output.warn(`not compared: ${printable(line)}`);
  const tested = arms.filter(({ pHolm }) => pHolm !== null).length;
  output.print(
    tested === 0
      ? 'B less A; nothing was tested.'
      : `B less A, for other seeds and other examples like these; p is corrected by Holm for all ${tested}.`,
  );
}

interface Row extends Pick<Contrast, 'measure' | 'difference' | 'pHolm' | 'detectable'> {
  readonly pair: string;
}

function differenceTable(rows: readonly Row[], measures: readonly Measure[]): string {
  const table = newTable({
    head: ['difference', 'on', 'estimate', '95 % interval', 'p (Holm)', 'found 4 times in 5'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right'],
  });
  for (const { pair, measure: name, difference, pHolm, detectable } of rows) {
    const measure = measures.find((one) => one.name === name)!;
    table.push([
      printable(pair),
      printable(name),
      signed(difference.value, measure),
      difference.ci95?.map((end) => signed(end, measure)).join(' to ') ?? '',
      pHolm === null ? '' : pCell(pHolm),
      detectable === null ? '' : withUnit(detectable, measure),
    ]);
  }
  return table.toString();
}

function estimateText({ value, ci95 }: Estimate, measure: Measure): string {
  const interval = ci95 ? `\n${ci95.map((end) => plain(end, measure)).join(' to ')}` : '';
  return `${plain(value, measure)}${interval}`;
}

function plain(value: number, { unit }: Measure): string {
  return unit === 'share' ? `${(100 * value).toFixed(1)} %` : value.toFixed(4);
}

function unitOf(unit: Measure['unit']): string {
  return unit === 'share' ? 'share passed' : 'nats a token';
}
