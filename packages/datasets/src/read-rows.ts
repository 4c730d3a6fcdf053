import { DataError, oneLine } from '@flex/base';
import type { Format, Row } from './format.ts';
import { type Members, rawRow } from './row.ts';
import { readSource, type SourceOptions } from './source-rows.ts';

export interface ReadRowsOptions extends SourceOptions {
  /** In the order in which `auto` tries them. */
  readonly formats: readonly Format[];
  /** One of them by its name; or `auto`, which takes that of the first row and wants all others to be of it too. */
  readonly format?: string;
}

/** A row of a source, as it stands there and as its format reads it. */
export interface ReadRow {
  /** The path as it was given, and the line, for messages. */
  readonly where: string;
  readonly members: Members;
  readonly format: Format;
  readonly row: Row;
}

/**
 * The rows of a source, all of one format. Throws what `readSource` and the format throw, and DataError, which
 * begins with the path, for a row of no known format or another than the first, and where there are no rows.
 */
export async function* readRows(source: string, options: ReadRowsOptions): AsyncGenerator<ReadRow> {
  const { formats, format: wanted = 'auto' } = options;
  const named = formats.find(({ name }) => name === wanted);
  let first: Format | undefined;
  for await (const json of readSource(source, options)) {
    const raw = rawRow(json);
    const format = named ?? formats.find((known) => known.matches(raw.value));
    first ??= format;
    if (!format || format !== first) {
      const keys = oneLine(Object.keys(raw.value).join(', ')) || '(none)';
      const hint = first
        ? `the rows before it are ${shapeOf(first)}`
        : `known are ${formats.map(shapeOf).join(', ')}`;
      throw new DataError(`${raw.where}: has the keys ${keys}; ${hint}`);
    }
    yield { where: raw.where, members: raw.value, format, row: format.read(raw) };
  }
  if (!first) throw new DataError(`${source}: has no rows`);
}

function shapeOf({ name, shape }: Format): string {
  return `${name} ${shape}`;
}
