import { compare, passKeys, protocolDifferences, type ResultFolder } from '@flex/eval';
import type { Chart } from './charts/chart.ts';
import { intervalsChart } from './charts/intervals.ts';
import { differenceText, estimateText, probabilityText } from './digits.ts';
import { anchorOf, type Block, chartsOf, tableOf } from './report.ts';

/** The results of an evaluation, and what they go by in the report. */
export interface NamedResults {
  readonly name: string;
  readonly results: ResultFolder;
}

/** Problems of a comparison that are listed; the others are counted. */
const mostListed = 60;

/**
 * Scores of one benchmark with their intervals, what became of the samples, and each pair of names, the first
 * against the second, problem by problem.
 */
export function evaluationBlocks(
  named: readonly NamedResults[],
  pairs: readonly (readonly [string, string])[],
): Block[] {
  const [{ results: first }] = named;
  const { benchmark } = first.results;
  const keys = passKeys(first.results);
  const charts = keys.map((key): Chart | null =>
    intervalsChart({
      name: anchorOf(`${benchmark} ${key}`),
      title: `${benchmark}: ${key}`,
      x: `${key}, %; more is better`,
      scale: 100,
      rows: named
        .filter(({ results }) => key in results.results)
        .map(({ name, results: { results } }) => ({
          label: name,
          colour: 'blue' as const,
          estimate: { value: results[key], ci95: results.intervals[key] },
          values: [],
        })),
    }),
  );
  const verdicts = [
    ...new Set(named.flatMap(({ results }) => Object.entries(results.results.counts).flatMap(namesOfSome))),
  ];
  const right = { align: 'right' as const };
  const scores = tableOf(
    `${benchmark}: pass@k with 95 % intervals over problems, and samples by verdict`,
    [
      { title: 'evaluation' },
      ...keys.map((key) => ({ title: key, ...right })),
      { title: 'problems', ...right },
      { title: 'samples each', ...right },
      ...verdicts.map((verdict) => ({ title: verdict, ...right })),
    ],
    named.map(({ name, results: { results } }) => [
      name,
      ...keys.map((key) =>
        key in results ? estimateText({ value: results[key], ci95: results.intervals[key] }, 'share') : '–',
      ),
      String(results.n),
      String(results.samples_per_problem),
      ...verdicts.map((verdict) => String(results.counts[verdict as keyof typeof results.counts] ?? 0)),
    ]),
  );
  return [...chartsOf(charts), scores, ...comparisonBlocks(named, pairs)];
}

const namesOfSome = ([verdict, count]: readonly [string, number]) => (count > 0 ? [verdict] : []);

function comparisonBlocks(
  named: readonly NamedResults[],
  pairs: readonly (readonly [string, string])[],
): Block[] {
  const resultsOf = (name: string) => named.find((one) => one.name === name)?.results;
  const compared = pairs.flatMap(([a, b]) => {
    const [one, other] = [resultsOf(a), resultsOf(b)];
    if (!one || !other || !isComparable(one, other)) return [];
    return [{ a, b, comparison: compare(one, other, { force: false }) }];
  });
  if (compared.length === 0) return [];
  const right = { align: 'right' as const };
  const rows = compared.map(({ a, b, comparison: { differences, headline } }) => {
    const { difference, ci95, test, only_a, only_b } = differences[headline];
    return [
      `${b} less ${a}`,
      headline,
      differenceText({ value: difference, ci95 }, 'share'),
      String(only_a),
      String(only_b),
      `${probabilityText(test.p)}, ${test.name}`,
    ];
  });
  const columns = [
    { title: 'B less A' },
    { title: 'score' },
    { title: 'difference [95 % interval]', ...right },
    { title: 'A alone', ...right },
    { title: 'B alone', ...right },
    { title: 'p, two-sided', ...right },
  ];
  const caption =
    'Problem by problem: A or B alone are those that only that one passes; p is of each pair by itself, uncorrected';
  return [
    tableOf(caption, columns, rows),
    ...compared.flatMap(({ a, b, comparison: { discordant } }): Block[] => {
      if (discordant.length === 0) return [];
      const sides = (['a', 'b'] as const).map((side) => ({
        side,
        title: side === 'a' ? `A: ${a}` : `B: ${b}`,
      }));
      const rows = discordant
        .slice(0, mostListed)
        .map((problem) => [problem.task_id, ...sides.map(({ side }) => sideText(problem[side]))]);
      const more = discordant.length > mostListed ? `, the first ${mostListed} of them` : '';
      const summary = `${discordant.length} discordant problems: ${b} and ${a}${more}`;
      const table = tableOf(summary, [{ title: 'problem' }, ...sides], rows);
      return [{ kind: 'folded', summary, blocks: [table] }];
    }),
  ];
}

interface SideOfProblem {
  readonly n: number;
  readonly c: number;
  readonly verdict: string;
  readonly detail: string;
}

function sideText({ n, c, verdict, detail }: SideOfProblem): string {
  const word = n === 1 ? verdict : `${c}/${n} passed`;
  return verdict === 'passed' || detail === '' ? word : `${word}: ${detail.slice(0, 120)}`;
}

function isComparable(a: ResultFolder, b: ResultFolder): boolean {
  const idsOf = ({ problems }: ResultFolder) =>
    problems
      .map(({ id }) => id)
      .sort()
      .join('\n');
  return (
    a.results.benchmark === b.results.benchmark &&
    protocolDifferences(a.results.protocol_parts, b.results.protocol_parts).length === 0 &&
    idsOf(a) === idsOf(b)
  );
}
