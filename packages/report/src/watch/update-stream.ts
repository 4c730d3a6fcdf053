import type { Writable } from 'node:stream';
import type { CurvePart, Header, RunRow, Update } from './messages.ts';
import type { WatchedFolder } from './watch-folder.ts';

/** What a page has been told, and what it is to be told next. */
export interface UpdateStream {
  /** Tells what has changed, as much as the page takes; what it does not take now it is told later. */
  push(): void;
  end(): void;
}

/** How far a page has been told of a run. */
interface Told {
  epoch: number;
  row: string;
  /** Values of each curve that it knows, and how many a point was the mean of. */
  readonly curves: Map<string, { count: number; width: number }>;
}

/**
 * Server-sent events of a watched folder with the curves of these columns, or the usual ones for none. A page
 * that is slow is told less often, and never of what is old by then: nothing is kept for it but how far it
 * knows.
 */
export function openStream(
  response: Writable,
  watched: WatchedFolder,
  { columns, page }: { readonly columns: readonly string[]; readonly page: string },
): UpdateStream {
  let header = '';
  const told = new Map<string, Told>();
  /** Whether the page takes more. */
  const send = (update: Update) => response.write(`data: ${JSON.stringify(update)}\n\n`);
  const newRow = (row: RunRow): RunRow[] => {
    const known = told.get(row.name) ?? newTold();
    told.set(row.name, known);
    const text = JSON.stringify(row);
    if (known.row === text) return [];
    known.row = text;
    return [row];
  };
  const push = () => {
    if (response.writableNeedDrain || response.writableEnded) return;
    const now: Header = { ...watched.header, page };
    const text = JSON.stringify(now);
    const rows = watched.rows().flatMap(newRow);
    const isNew = text !== header;
    header = text;
    if ((isNew || rows.length > 0) && !send({ ...(isNew && { header: now }), rows })) return;
    for (const run of now.runs) {
      const curves = newParts(run, columns.length > 0 ? columns : now.usual);
      if (curves.length > 0 && !send({ curves })) return;
    }
  };
  const newParts = (name: string, wanted: readonly string[]): CurvePart[] => {
    const run = watched.run(name);
    const known = told.get(name)!;
    const parts: CurvePart[] = [];
    if (known.epoch !== run.epoch) {
      for (const column of known.curves.keys())
        parts.push({ run: name, column, from: 0, width: 1, x: [], y: [] });
      known.curves.clear();
      known.epoch = run.epoch;
    }
    for (const column of wanted) {
      const curve = run.curves.get(column);
      const before = known.curves.get(column);
      if (!curve || curve.count === before?.count) continue;
      const { count, width } = curve;
      const from = before?.width === width ? Math.floor(before.count / width) : 0;
      parts.push({ run: name, column, from, width, ...curve.points(from) });
      known.curves.set(column, { count, width });
    }
    return parts;
  };
  response.on('drain', push);
  return { push, end: () => void response.end() };
}

const newTold = (): Told => ({ epoch: 0, row: '', curves: new Map() });
