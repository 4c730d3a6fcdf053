import type { Format, Passages, Row } from '../format.ts';
import type { ReadRow } from '../read-rows.ts';
import { fill } from '../template.ts';
import { languageName, taskKey } from './task-key.ts';

/** Where a row stands. */
export interface PlacedId {
  /** The path as it was given, and the line; of APPS's layout the problem's folder. */
  readonly where: string;
  readonly id: string | null;
}

/** What a row is recognised by in another set. */
export interface RowPrint extends PlacedId, Pick<Passages, 'prompts' | 'completions'> {
  /** The task that the id names (see taskKey). */
  readonly task: string | null;
  readonly language: string | null;
}

/** The print of a row of a file or folder, `source`, whatever template it is learnt by. */
export function rowPrint({ where, members, format, row }: ReadRow, source: string): RowPrint {
  const { prompts, completions, language } = format.passages?.(row) ?? templatePassages(format, row, where);
  const named = language ?? (typeof members.language === 'string' ? members.language : null);
  return {
    where,
    id: row.id,
    task: taskKey(row.id, format, source),
    language: named === null ? null : languageName(named),
    prompts,
    completions,
  };
}

function templatePassages({ completion }: Format, row: Row, where: string): Passages {
  const made = completion?.texts(row, where);
  if (!completion || !made) return { prompts: [], completions: [] };
  const texts = new Map(Object.entries(made));
  const { template } = completion;
  return {
    prompts: [fill(template.prompt, texts, where)],
    completions: [fill(template.completion, texts, where)],
  };
}
