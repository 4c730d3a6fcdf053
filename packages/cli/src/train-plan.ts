import { byteText, printable } from '@flex/base';
import {
  describeLostRow,
  describeMemory,
  describeOverlaps,
  type MemoryPlan,
  type PlannedSet,
  type RunPlan,
  respellSection,
} from '@flex/train';
import type { Output } from './context.ts';
import { newTable } from './table.ts';

/** Rows of each set that are shown of those that are left out or cut. */
const shown = 20;
const barWidth = 20;

/**
 * Prints what a run would do: for people, or as one object with --json. Throws what it would be refused for.
 */
export function printPlan(plan: RunPlan, output: Output): void {
  const { sets, notes, overlaps, schedule, memory, refusal, ...rest } = plan;
  output.emit(
    respellSection({
      ...rest,
      refusal: refusal?.message ?? null,
      memory: memory && respellSection({ ...memory }),
      notes,
      overlaps,
      schedule,
      sets: sets.map((set) => respellSection({ ...set })),
    }),
  );
  for (const line of describeOverlaps(sets[0].name, overlaps, 'with --json')) output.warn(line);
  for (const line of notes) output.note(line);
  for (const [i, set] of sets.entries()) {
    output.print(`${i === 0 ? 'training data' : 'held out'}: ${printable(set.name)}`);
    output.print(countsOf(set));
    output.print(histogram(set));
    for (const row of set.lost.slice(0, shown)) output.print(`  ${printable(describeLostRow(row))}`);
    if (set.lost.length > shown) output.print(`  and ${set.lost.length - shown} more, all with --json`);
    output.print();
  }
  output.print(`epochs: ${Number(plan.epochs.toPrecision(3))}`);
  output.print(`updates: ${count(plan.updates)}, ${count(plan.updatesAnEpoch)} an epoch`);
  output.print(`tokens: ${count(plan.tokens)}, ${count(plan.tokensAnEpoch)} an epoch`);
  const rates = schedule.map(({ update, lr }) => `${lr.toPrecision(3)} at update ${count(update)}`);
  output.print(`learning rate: ${rates.join(', ')}`);
  output.print(`trainable parameters: ${count(plan.trainableParameters)}`);
  if (memory) {
    output.print();
    output.print(describeMemory(memory));
    output.print(memoryTable(memory));
  }
  if (refusal) throw refusal;
}

const count = (n: number): string => n.toLocaleString('en');

function countsOf(set: PlannedSet): string {
  const { selected, examples, withoutSolution, withoutScoredToken, cut, maxLength, lengths } = set;
  const parts = [
    `${count(selected)} rows`,
    withoutSolution > 0 && `${count(withoutSolution)} without a solution left out`,
    withoutScoredToken > 0 && `${count(withoutScoredToken)} with nothing to score left out`,
    `${count(examples)} examples`,
    `${count(cut)} cut at ${count(maxLength)} tokens`,
  ];
  const { least, median, p95, most } = lengths;
  return [
    parts.filter(Boolean).join(', '),
    `${count(set.tokens)} tokens, ${count(set.scoredTokens)} of them scored`,
    `tokens a row: ${count(least)} to ${count(most)}, half up to ${count(median)}, 95 % up to ${count(p95)}`,
  ].join('\n');
}

/** The parts of a run's memory, and what it has alive at once, in words. */
const memoryRows = {
  weights: 'the frozen weights',
  adapter: 'the adapter',
  optimizer: "the optimizer's state",
  activations: 'activations kept for the backward pass',
  workspace: 'gradients, and what a layer needs while it runs',
  update: 'an update in all',
  evaluation: 'an evaluation in all',
  reserved: 'what the device gives, gaps included',
} as const satisfies Partial<Record<keyof MemoryPlan, string>>;

function memoryTable(memory: MemoryPlan): string {
  const head = ['memory', 'at most', 'of what there is'];
  const table = newTable({ head, colAligns: ['left', 'right', 'right'] });
  const shareOf = (bytes: number) =>
    memory.available === null ? '' : `${((100 * bytes) / memory.available.bytes).toFixed(1)} %`;
  for (const [row, words] of Object.entries(memoryRows)) {
    const bytes = memory[row as keyof typeof memoryRows];
    if (bytes > 0) table.push([words, byteText(bytes), shareOf(bytes)]);
  }
  return table.toString();
}

/** Rows by tokens, with a bar of their number. */
function histogram({ lengths: { bins }, maxLength }: PlannedSet): string {
  const table = newTable({ head: ['tokens', 'rows', ''], colAligns: ['right', 'right', 'left'] });
  const highest = Math.max(...bins.map(({ rows }) => rows));
  for (const { from, to, rows } of bins) {
    const bar = '█'.repeat(Math.ceil((barWidth * rows) / highest));
    const range = from === to ? count(from) : `${count(from)}–${count(to)}`;
    table.push([range, count(rows), from > maxLength && rows > 0 ? `${bar} cut` : bar]);
  }
  return table.toString();
}
