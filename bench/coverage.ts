// How often 95 % intervals of pass@k, and of a difference of two systems, hold the truth: ours beside others.
// Six kinds of models, 20, 50, 158 and 500 problems. tsx coverage.ts [--runs 1000] prints Markdown.
import { parseArgs } from 'node:util';
import { differenceInterval, meanInterval, wilsonInterval } from '@flex/eval';
import {
  benchmarksOf,
  expected,
  mixtureNames,
  type Outcome,
  outcomesOf,
  populationOf,
  relationNames,
} from '@flex/eval/testing';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '1000' } } });
const runs = Number(values.runs);
const draws = [1, 10, 20].flatMap((n) => [1, 3, 10].filter((k) => k <= n).map((k) => ({ n, k })));
const sizes = [20, 50, 158, 500];
const z = 1.959963984540054;

type Ends = readonly [low: number, high: number];
type Method = (a: readonly number[], b: readonly number[]) => Ends;
const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0);
const gains = (a: readonly number[], b: readonly number[]) => b.map((value, i) => value - a[i]);

/** Mean ± z standard errors, after values have been added. */
function normalInterval(list: readonly number[], added: readonly number[] = []): Ends {
  const all = [...list, ...added];
  const mean = sum(all) / all.length;
  const half = z * Math.sqrt(sum(all.map((value) => (value - mean) ** 2)) / all.length ** 2);
  return [mean - half, mean + half];
}

/** The percentile bootstrap, 399 resamples. */
function bootstrap(list: readonly number[]): Ends {
  const means = Float64Array.from({ length: 399 }, () => {
    let total = 0;
    for (let i = 0; i < list.length; i++) total += list[Math.floor(Math.random() * list.length)];
    return total / list.length;
  }).sort();
  return [means[9], means[389]];
}

/** A method, and which benchmarks it sees: every one, every twentieth … */
type Methods = Record<string, { readonly method: Method; readonly every?: number }>;
const ofOne: Methods = {
  'Wilson, effective number of problems (ours)': { method: meanInterval },
  'Wilson, all problems': { method: (a) => wilsonInterval(sum(a), a.length) },
  'normal approximation': { method: (a) => normalInterval(a) },
  '… two passes and two fails added (Agresti and Coull 1998)': {
    method: (a) => normalInterval(a, [0, 0, 1, 1]),
  },
  'percentile bootstrap': { method: bootstrap, every: 20 },
};
const ofTwo: Methods = {
  'from the two intervals and the correlation (ours)': { method: differenceInterval },
  'normal approximation': { method: (a, b) => normalInterval(gains(a, b)) },
  '… one problem won and one lost added (Bonett and Price 2012)': {
    method: (a, b) => normalInterval(gains(a, b), [-1, 1]),
  },
  'percentile bootstrap': { method: (a, b) => bootstrap(gains(a, b)), every: 20 },
};

/** A method's coverage of a kind of population, and whether what it depends on is rare in it. */
interface Cell {
  readonly coverage: number;
  readonly isRare: boolean;
  readonly draw: string;
}

function cellsOf(
  methods: Methods,
  populations: readonly ReturnType<typeof populationOf>[],
  {
    value,
    isRare,
  }: { value: (outcome: Outcome) => number; isRare: (outcomes: Outcome[], n: number) => boolean },
): Map<string, Cell[]> {
  const cells = new Map<string, Cell[]>(Object.keys(methods).map((name) => [name, []]));
  for (const population of populations) {
    for (const { n, k } of draws) {
      const outcomes = outcomesOf(population, { n, k });
      const truth = expected(outcomes, value);
      for (const problems of sizes) {
        const held = new Map<string, number>();
        let run = 0;
        for (const [a, b] of benchmarksOf(outcomes, { problems, runs, seed: 11 })) {
          for (const [name, { method, every = 1 }] of Object.entries(methods)) {
            if (run % every > 0) continue;
            const [low, high] = method(a, b);
            if (low <= truth + 1e-12 && truth - 1e-12 <= high) held.set(name, (held.get(name) ?? 0) + every);
          }
          run++;
        }
        const cell = { isRare: isRare(outcomes, problems), draw: `n = ${n}, k = ${k}` };
        for (const [name, all] of cells) all.push({ coverage: (held.get(name) ?? 0) / runs, ...cell });
      }
    }
  }
  return cells;
}

const percent = (share: number) => (100 * share).toFixed(1);

/** Lowest, median and highest coverage, and how many are within 2 points of 95 %. */
function summary(cells: readonly Cell[]): string {
  const sorted = cells.map(({ coverage }) => coverage).sort((x, y) => x - y);
  const near = sorted.filter((coverage) => Math.abs(coverage - 0.95) <= 0.02).length;
  const low = sorted.filter((coverage) => coverage < 0.93).length;
  const [first, middle, last] = [0, sorted.length >> 1, sorted.length - 1].map((i) => percent(sorted[i]));
  return `${first} | ${middle} | ${last} | ${low} | ${near} | ${sorted.length}`;
}

function print(title: string, cells: Map<string, Cell[]>): void {
  const head = '| lowest | median | highest | below 93 | 93 to 97 | of |\n|---|---|---|---|---|---|---|';
  console.log(`\n| ${title} ${head}`);
  for (const [name, all] of cells) {
    console.log(`| ${name} | ${summary(all.filter(({ isRare }) => !isRare))} |`);
    console.log(`| ${name}, rare | ${summary(all.filter(({ isRare }) => isRare))} |`);
  }
  console.log(`\n| ours ${head}`);
  const [[, ours]] = cells;
  for (const draw of new Set(ours.map(({ draw }) => draw))) {
    console.log(`| ${draw} | ${summary(ours.filter((cell) => cell.draw === draw && !cell.isRare))} |`);
  }
}

const singles = mixtureNames.map((mixture) => populationOf(mixture, 'same'));
print(
  'pass@k',
  cellsOf(ofOne, singles, {
    value: ({ a }) => a,
    isRare: (outcomes, problems) =>
      problems *
        Math.min(
          ...[({ a }: Outcome) => +(a > 0), ({ a }: Outcome) => +(a < 1)].map((is) => expected(outcomes, is)),
        ) <
      5,
  }),
);
const pairs = mixtureNames.flatMap((mixture) =>
  relationNames.map((relation) => populationOf(mixture, relation)),
);
print(
  'difference',
  cellsOf(ofTwo, pairs, {
    value: ({ a, b }) => b - a,
    isRare: (outcomes, problems) => problems * expected(outcomes, ({ a, b }) => +(a !== b)) < 10,
  }),
);
