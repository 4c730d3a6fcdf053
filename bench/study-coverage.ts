// How often 95 % intervals of a difference of two arms hold the truth, ours beside others, and how often
// tests find one where there is none: 2 to 10 seeds, 90 examples, by what the difference varies with. tsx
// study-coverage.ts [--runs 1000] prints Markdown.
import { parseArgs } from 'node:util';
import { randomOf } from '@flex/eval/testing';
import { criticalDifference, type DifferenceTable, pairedDifference, studentQuantile } from '@flex/study';
import { simulatedTable, sourceCells } from '@flex/study/testing';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '1000' } } });
const runs = Number(values.runs);
const N = 90;
const resamples = 199;

type Ends = readonly [low: number, high: number];
const mean = (list: readonly number[]) => list.reduce((total, value) => total + value, 0) / list.length;

/** Student's interval of independent values. */
function student(list: readonly number[]): Ends {
  const centre = mean(list);
  const df = list.length - 1;
  const variance = list.reduce((sum, value) => sum + (value - centre) ** 2, 0) / df;
  const half = studentQuantile(0.05, df) * Math.sqrt(variance / list.length);
  return [centre - half, centre + half];
}

/** The percentile bootstrap that draws seeds, and examples for all of them. */
function bootstrap(table: DifferenceTable): Ends {
  const { uniform } = randomOf(1);
  const draw = (size: number) => Array.from({ length: size }, () => Math.floor(uniform() * size));
  const means = Float64Array.from({ length: resamples }, () => {
    const columns = draw(N);
    return mean(draw(table.length).map((s) => mean(columns.map((i) => table[s][i]))));
  }).sort();
  return [means[4], means[194]];
}

const methods: Record<string, { interval: (table: DifferenceTable, ours: Ends) => Ends; every?: number }> = {
  'over seeds and examples (ours)': { interval: (_, ours) => ours },
  'Student over seeds': { interval: (table) => student(table.map(mean)) },
  'Student over examples': {
    interval: (table) => student(table[0].map((_, i) => mean(table.map((row) => row[i])))),
  },
  'bootstrap over seeds and examples': { interval: bootstrap, every: 10 },
};

const percent = (share: number) => (100 * share).toFixed(1);
const range = (list: readonly number[]) => {
  const sorted = [...list].sort((a, b) => a - b);
  return `${percent(sorted[0])}, ${percent(sorted[sorted.length >> 1])}, ${percent(sorted[sorted.length - 1])}`;
};

const sizes = [2, 3, 5, 10];
const coverage = new Map(Object.keys(methods).map((name) => [name, sizes.map((): number[] => [])]));
const found = sizes.map((): { at05: number; at24: number }[] => []);
for (const [column, S] of sizes.entries()) {
  for (const sources of sourceCells) {
    const random = randomOf(S);
    const held = new Map<string, number>();
    let [at05, at24] = [0, 0];
    for (let run = 0; run < runs; run++) {
      const table = simulatedTable(sources, { S, N, shape: 'normal' }, random);
      const { value, parts, ci95 } = pairedDifference(table, { isShare: false });
      for (const [name, { interval, every = 1 }] of Object.entries(methods)) {
        if (run % every > 0) continue;
        const [low, high] = interval(table, ci95);
        if (low <= 0 && 0 <= high) held.set(name, (held.get(name) ?? 0) + every);
      }
      if (Math.abs(value) >= criticalDifference(parts, 0.05)) at05++;
      if (Math.abs(value) >= criticalDifference(parts, 0.05 / 24)) at24++;
    }
    for (const [name, columns] of coverage) columns[column].push((held.get(name) ?? 0) / runs);
    found[column].push({ at05: at05 / runs, at24: at24 / runs });
  }
}

console.log(`| coverage: lowest, median, highest | ${sizes.map((S) => `${S} seeds`).join(' | ')} |`);
console.log(`|---|${sizes.map(() => '---|').join('')}`);
for (const [name, columns] of coverage) console.log(`| ${name} | ${columns.map(range).join(' | ')} |`);
console.log(`| found at 0.05 | ${found.map((cells) => range(cells.map(({ at05 }) => at05))).join(' | ')} |`);
console.log(
  `| found at 0.05/24 = 0.21 % | ${found.map((cells) => range(cells.map(({ at24 }) => at24))).join(' | ')} |`,
);
