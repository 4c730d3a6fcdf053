import { printable } from '@flex/base';
import { compareRuns, type SetComparison, signed, withUnit } from '@flex/study';
import type { Output } from '../context.ts';
import { fromHere } from '../from-here.ts';
import { newTable } from '../table.ts';
import { pCell } from './p-cell.ts';

const nats = { unit: 'nats' } as const;

/** Two runs on the held-out sets that both have. */
export function compareTwoRuns(a: string, b: string, output: Output): void {
  const comparison = compareRuns(a, b);
  output.emit(comparison);
  const table = newTable({
    head: ['held-out loss, nats a token', 'A', 'B', 'B less A', '95 % interval', 'p'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const { set, n, a: lossA, b: lossB, difference, ci95, p } of comparison.sets) {
    table.push([
      `${printable(set)} (${n} examples)`,
      lossA.toFixed(4),
      lossB.toFixed(4),
      signed(difference, nats),
      ci95.map((end) => signed(end, nats)).join(' to '),
      pCell(p),
    ]);
  }
  output.print(`A ${printable(fromHere(comparison.a))}`);
  output.print(`B ${printable(fromHere(comparison.b))}`);
  if (table.length > 0) output.print(table.toString());
  comparison.sets.map(detectableOf).forEach(output.print);
  for (const set of comparison.not_compared) {
    output.warn(
      `${printable(set)} is not compared: other examples in A and B, or a loss that is no finite number`,
    );
  }
  output.print(
    'Intervals (Student) and p (paired permutation test) are over examples, for these two runs: what other seeds ' +
      'would give is in neither. A study has several.',
  );
}

function detectableOf({ set, detectable: { powered } }: SetComparison): string {
  return powered === null
    ? `${printable(set)}: too few examples differ to show anything.`
    : `${printable(set)}: a true difference of ${withUnit(powered, nats)} is found 80 % of the time.`;
}
