import { isSame, type Match, type OverlapKind, overlapIndex, overlapKinds, sought } from './overlap-index.ts';
import type { PlacedId, RowPrint } from './row-print.ts';

/** A row of one set, and one of another that it overlaps with. */
export interface OverlappingRows extends Omit<Match, 'row'> {
  readonly row: PlacedId;
  readonly of: PlacedId;
}

/** How many rows that were looked for, and how many of the set, overlap in some way. */
export interface OverlapCount {
  readonly rows: number;
  readonly of: number;
}

/** How the rows that were looked for overlap with a set. Every row of either that overlaps is in `pairs`. */
export interface SetOverlap {
  readonly name: string;
  /** Rows of the set. */
  readonly rows: number;
  readonly counts: Partial<Readonly<Record<OverlapKind, OverlapCount>>>;
  /** Of all kinds that make rows the same (see isSame). */
  readonly same: OverlapCount;
  readonly pairs: readonly OverlappingRows[];
}

export interface Overlaps {
  /** Rows that were looked for. */
  readonly rows: number;
  /** Those of them that say, prompt and completion, what one before them says. */
  readonly duplicates: number;
  readonly sets: readonly SetOverlap[];
}

/** Rows with the name that they are reported under. */
export interface NamedRows {
  readonly name: string;
  readonly rows: readonly RowPrint[];
}

/**
 * The overlaps of rows with sets, by content and by id (see overlapKinds). Time is linear in all texts; of
 * the rows that are looked for one is held at a time.
 */
export async function findOverlaps(
  rows: AsyncIterable<RowPrint> | Iterable<RowPrint>,
  sets: readonly NamedRows[],
): Promise<Overlaps> {
  const indexed = sets.map((set) => ({ set, index: overlapIndex(set.rows), found: [] as Found[] }));
  const seen = new Set<string>();
  let [count, duplicates] = [0, 0];
  for await (const row of rows) {
    count++;
    const keys = sought(row);
    if (keys.whole.length > 0 && keys.whole.every((key) => seen.has(key))) duplicates++;
    for (const key of keys.whole) seen.add(key);
    for (const { set, index, found } of indexed) {
      for (const { row: i, ...how } of index.find(keys)) {
        found.push({ row: count, of: i, pair: { row: placed(row), of: placed(set.rows[i]), ...how } });
      }
    }
  }
  return {
    rows: count,
    duplicates,
    sets: indexed.map(({ set, found }) => ({
      name: set.name,
      rows: set.rows.length,
      counts: Object.fromEntries(
        overlapKinds.flatMap((kind) => {
          const ofKind = found.filter(({ pair }) => pair.kind === kind);
          return ofKind.length > 0 ? [[kind, countOf(ofKind)]] : [];
        }),
      ),
      same: countOf(found.filter(({ pair }) => isSame(pair.kind))),
      pairs: found.map(({ pair }) => pair),
    })),
  };
}

/** Two rows that overlap, by their places in their sets. */
interface Found {
  readonly row: number;
  readonly of: number;
  readonly pair: OverlappingRows;
}

function countOf(found: readonly Found[]): OverlapCount {
  return { rows: new Set(found.map(({ row }) => row)).size, of: new Set(found.map(({ of }) => of)).size };
}

/** The pairs whose rows are the same, and not only akin. */
export function sameRows({ pairs }: SetOverlap): OverlappingRows[] {
  return pairs.filter(({ kind }) => isSame(kind));
}

function placed({ where, id }: RowPrint): PlacedId {
  return { where, id };
}
