import { ConfigError, DataError } from '@flex/base';
import type { Format } from './format.ts';
import type { InputIdsRow } from './formats/input-ids.ts';
import type { MessagesRow } from './formats/messages.ts';
import { completionFormats } from './known-formats.ts';
import { type PlacedId, type RowPrint, rowPrint } from './overlap/row-print.ts';
import { type ReadRow, readRows } from './read-rows.ts';
import { appsPart } from './source-rows.ts';
import { areMbppTasks, haveParts, parseSplit, selectRows } from './split.ts';
import { fill, type Template } from './template.ts';

/** A prompt, and the completion that is to be learnt after it. */
export interface Completion {
  /** The path as it was given, and the line, for messages. */
  readonly where: string;
  readonly prompt: string;
  readonly completion: string;
}

/** Prompt and completion as token ids. */
export interface TokenIds extends Pick<InputIdsRow, 'inputIds' | 'labels'> {
  readonly where: string;
}

/** A chat, of which the assistant's turns are to be learnt. */
export interface Chat extends Pick<MessagesRow, 'messages'> {
  readonly where: string;
}

/** What a model learns of a row. */
export type Lesson = Completion | TokenIds | Chat;

export interface ReadCompletionsOptions {
  /**
   * See readSplit; of a folder in APPS's layout, also the part `train` or `test`. Null takes `train` of MBPP's
   * tasks (MBPP, MBXP) and of rows that say their part (CodeSearchNet), and `all` of other rows.
   */
  readonly split?: string | null;
  /** A format, or the name of a known one; `auto` tells the rows apart by the keys of the first. */
  readonly format?: string | Format;
  /** Makes prompt and completion of each row's texts, in place of the format's own template. */
  readonly template?: Template | null;
}

/** The completions of the rows that a split selects, in the order of the source. */
export interface Completions {
  readonly format: string;
  /** The split that was taken. */
  readonly split: string;
  readonly completions: readonly Lesson[];
  /** What each of them is recognised by in other sets, in the same order. */
  readonly prints: readonly RowPrint[];
  /** The selected rows that were left out because they have no solution. */
  readonly withoutSolution: readonly PlacedId[];
}

/**
 * The completions of a source: a file of rows, or a folder in APPS's layout, of which the part `train` is taken
 * unless the split is `test`. All rows are of one format.
 *
 * Throws ConfigError for a missing source, an unknown split or template field, and DataError, which begins
 * with path and line, for a row that is malformed or of another format, and where the split selects nothing.
 */
export async function readCompletions(
  source: string,
  { split = null, format: wanted, template = null }: ReadCompletionsOptions = {},
): Promise<Completions> {
  const part = appsPart(source, split);
  const rows: ReadRow[] = [];
  const known = typeof wanted === 'object' ? [wanted] : completionFormats;
  const name = typeof wanted === 'object' ? wanted.name : wanted;
  const from = readRows(source, { formats: known, format: name, part, parts: ['train'] });
  for await (const row of from) rows.push(row);
  const [{ format }] = rows;
  const usual = haveParts(rows) || areMbppTasks(rows, format) ? 'train' : 'all';
  const chosen = parseSplit(part === null ? (split ?? usual) : 'all');
  const selected = selectRows(rows, chosen, format, source);
  const made = selected.map((row) => ({ row, lesson: completionOf(row, template) }));
  const completions = made.map(({ lesson }) => lesson).filter((lesson) => lesson !== null);
  if (completions.length === 0) {
    throw new DataError(`${source}: no row of split ${part ?? chosen.text} has a solution`);
  }
  return {
    format: format.name,
    split: part ?? chosen.text,
    completions,
    prints: made.flatMap(({ row, lesson }) => (lesson ? [rowPrint(row, source)] : [])),
    withoutSolution: made.flatMap(({ row: { where, row }, lesson }) =>
      lesson ? [] : [{ where, id: row.id }],
    ),
  };
}

function completionOf(
  { where, members, format: { name, completion }, row }: ReadRow,
  template: Template | null,
): Lesson | null {
  if (!completion) {
    if (template) throw new ConfigError(`template: ${name} rows, as ${where}, have no texts to fill in`);
    const { id: _, ...lesson } = row as InputIdsRow | MessagesRow;
    return { where, ...lesson };
  }
  const made = completion.texts(row, where);
  if (made === null) return null;
  const own = Object.entries(members).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  const texts = new Map([...own, ...Object.entries(made)]);
  const { prompt, completion: answer } = template ?? completion.template;
  return { where, prompt: fill(prompt, texts, where), completion: fill(answer, texts, where) };
}
