import { join } from 'node:path';
import {
  kindWords,
  type OverlappingRows,
  type Overlaps,
  overlapKinds,
  placeOf,
  type SetOverlap,
  sameRows,
  shareWords,
} from '@flex/datasets';
import type { DataSet, LostRow } from './data-set.ts';

/** The file of a run's folder that holds every row that was left out or cut. */
export const rowsFile = 'rows.jsonl';

/** Rows that are shown one by one; of more the rest is counted. */
const shown = 5;

const reasons: Readonly<Record<LostRow['reason'], (row: LostRow) => string>> = {
  without_solution: () => 'left out: it has no solution',
  without_scored_token: ({ tokens }) => `${tokens} tokens, left out: nothing to score in those that fit`,
  cut: ({ tokens, kept }) => `${tokens} tokens, cut to ${kept}`,
};

/** A set's rows that are left out or cut, each with its reason, and where the rest of them is written. */
export function describeLost({ name, lost, counts }: DataSet, out: string): string[] {
  if (lost.length === 0) return [];
  const left = counts.withoutSolution + counts.withoutScoredToken;
  const words = [left > 0 && `${left} left out`, counts.cut > 0 && `${counts.cut} cut`].filter(Boolean);
  const rows = lost.slice(0, shown).map((row) => `  ${describeLostRow(row)}`);
  const more = lost.length - rows.length;
  return [
    `${name}: of ${counts.selected} rows ${words.join(' and ')}`,
    ...rows,
    ...(more > 0 ? [`  and ${more} more, all in ${join(out, rowsFile)}`] : []),
  ];
}

/** `mbpp.jsonl:12 (612): 830 tokens, cut to 512`. */
export function describeLostRow(row: LostRow): string {
  return `${placeOf(row)}: ${reasons[row.reason](row)}`;
}

/** Why a run is refused: rows that it would train on are held out. */
export function describeSame(name: string, set: SetOverlap): string {
  const [{ row, of, kind }] = sameRows(set);
  return (
    `${set.name}: ${set.same.of} of ${set.rows} held-out rows are trained on in ${name}, such as ${placeOf(of)}, which is ` +
    `${placeOf(row)}: ${kindWords[kind]}; take other rows, or allow it with data.allow_overlap: true`
  );
}

/**
 * What overlaps, of each set by kinds with some of the rows, and `all` says where all of them are; and how
 * many rows the training data, `name`, have twice.
 */
export function describeOverlaps(name: string, { duplicates, sets }: Overlaps, all: string): string[] {
  const ofSets = sets.flatMap((set) =>
    overlapKinds.flatMap((kind) => {
      const pairs = set.pairs.filter((pair) => pair.kind === kind);
      const counts = set.counts[kind];
      if (!counts) return [];
      const what = `${counts.of} of ${set.rows} held-out rows and ${counts.rows} of ${name}`;
      const more = pairs.length - shown;
      return [
        `${set.name}: ${what} are ${kindWords[kind]}`,
        ...pairs.slice(0, shown).map((pair) => `  ${describePair(pair)}`),
        ...(more > 0 ? [`  and ${more} more, all ${all}`] : []),
      ];
    }),
  );
  if (duplicates === 0) return ofSets;
  return [`${name}: ${duplicates} rows are duplicates of a row before`, ...ofSets];
}

function describePair(pair: OverlappingRows): string {
  return `${placeOf(pair.of)} and ${placeOf(pair.row)}${shareWords(pair)}`;
}
