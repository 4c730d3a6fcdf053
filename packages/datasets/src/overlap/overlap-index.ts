import { hash } from 'node:crypto';
import { ngramIndex, ngramRule } from './ngram-index.ts';
import type { RowPrint } from './row-print.ts';
import { comparable, wordsOf } from './text-form.ts';

/**
 * How two rows overlap, the strongest first:
 *
 * - `row`: prompt and completion together are one text, in whatever format and under whatever id.
 * - `completion`, `prompt`: one of the two is, of 32 characters or more.
 * - `id`: the ids name one task.
 * - `translation`: they do, in two programming languages, whose completions differ.
 * - `near`: at least half of the n-grams of one's prompt or completion are in the other.
 *
 * Texts are one if their comparable forms are (see comparable).
 */
export const overlapKinds = ['row', 'completion', 'prompt', 'id', 'translation', 'near'] as const;
export type OverlapKind = (typeof overlapKinds)[number];

/** Whether rows that overlap so are the same, and not only akin. */
export function isSame(kind: OverlapKind): boolean {
  return kind !== 'translation' && kind !== 'near';
}

/** Characters, in comparable form, that a prompt or a completion by itself must have to tell a row. */
const leastCharacters = 32;
/** A passage of more rows than this, and of more than this share of the rows, is boilerplate. */
const [mostRows, mostShare] = [10, 0.05];
/** Share of a passage's n-grams from which on it is a near-duplicate. */
const leastShare = 0.5;

/** The rules above in figures, for records. */
export const overlapRule = {
  characters: leastCharacters,
  boilerplate: { rows: mostRows, share: mostShare },
  ngram: { ...ngramRule, share: leastShare },
} as const;

/** A row of the set that overlaps with one that was looked for. */
export interface Match {
  /** Its place in the set, from 0. */
  readonly row: number;
  readonly kind: OverlapKind;
  /** Of a near-duplicate: the share of the n-grams of its passage that were found. */
  readonly share?: number;
}

/** Keys of a row's texts: those of two texts are equal if their comparable forms are. */
interface TextKeys {
  /** Of each prompt and the completion that is learnt as one text; none where that is empty. */
  readonly whole: readonly string[];
  readonly prompts: readonly string[];
  readonly completions: readonly string[];
}

/** A row that is looked for: what is computed of its print once for all sets. */
export interface Sought extends TextKeys, Pick<RowPrint, 'task' | 'language'> {
  /** Its prompt and its completion, as words. */
  readonly words: readonly (readonly string[])[];
}

/** What of a row is looked for. */
export function sought(print: RowPrint): Sought {
  const { task, language, prompts, completions } = print;
  const words = [...prompts.slice(0, 1), ...completions.slice(0, 1)].map(wordsOf);
  return { task, language, words, ...keysOf(print) };
}

function keysOf({ prompts, completions }: RowPrint): TextKeys {
  const asked = prompts.map(comparable);
  const answers = completions.map(comparable);
  const keys = (texts: readonly string[], least: number) =>
    [...new Set(texts)].filter(({ length }) => length >= least).map((text) => hash('sha256', text, 'base64'));
  return {
    whole: keys(
      (asked.length > 0 ? asked : ['']).map((prompt) => prompt + (answers[0] ?? '')),
      1,
    ),
    prompts: keys(asked, leastCharacters),
    completions: keys(answers, leastCharacters),
  };
}

/** A set of rows by what they are recognised by. */
export interface OverlapIndex {
  /**
   * The rows that overlap with this one, each with the strongest kind. Of rows that have a text or a task in
   * common, all are given when it is first found, and later the first of them: so a search takes time in
   * proportion to its own texts, and every row that overlaps is given once.
   */
  find(row: Sought): Match[];
}

/** Indexes a set of rows, in linear time. */
export function overlapIndex(rows: readonly RowPrint[]): OverlapIndex {
  const [tasks, versions, whole, completions, prompts, passages] = Array.from(
    { length: 6 },
    () => new Map<string, number[]>(),
  );
  for (const [i, row] of rows.entries()) {
    const keys = keysOf(row);
    if (row.task !== null) {
      addTo(tasks, row.task, i);
      addTo(versions, versionOf(row.task, row.language), i);
    }
    for (const key of keys.whole) addTo(whole, key, i);
    for (const key of keys.completions) addTo(completions, key, i);
    for (const key of keys.prompts) addTo(prompts, key, i);
    for (const text of [...row.prompts.slice(-1), ...row.completions.slice(0, 1)]) addTo(passages, text, i);
  }
  for (const map of [completions, prompts, passages]) {
    for (const [key, list] of map) {
      if (list.length > Math.max(mostRows, mostShare * rows.length)) map.delete(key);
    }
  }
  const near = ngramIndex([...passages.keys()]);
  const passageRows = [...passages.values()];

  return {
    find(row) {
      const found = new Map<number, Match>();
      const add = (i: number, seen: OverlapKind, share?: number) => {
        const kind = kindOf(seen, row, rows[i]);
        const before = found.get(i);
        if (before && strength(before.kind) <= strength(kind)) return;
        found.set(i, { row: i, kind, ...(kind === 'near' && { share }) });
      };
      for (const key of row.whole) for (const i of take(whole, key)) add(i, 'row');
      for (const key of row.completions) for (const i of take(completions, key)) add(i, 'completion');
      for (const key of row.prompts) for (const i of take(prompts, key)) add(i, 'prompt');
      if (row.task !== null) {
        for (const i of take(tasks, row.task)) add(i, 'id');
        for (const language of [row.language, null])
          for (const i of take(versions, versionOf(row.task, language))) add(i, 'id');
      }
      for (const [passage, share] of near.like(row.words, leastShare)) {
        for (const i of passageRows[passage]) add(i, 'near', share);
        passageRows[passage] = passageRows[passage].slice(0, 1);
      }
      return [...found.values()].sort((a, b) => a.row - b.row);
    },
  };
}

/** The key of a task in a language, or in none that is known. */
const versionOf = (task: string, language: string | null): string => `${language}\n${task}`;

const strength = (kind: OverlapKind): number => overlapKinds.indexOf(kind);

/** The kind of two rows of which something was seen: the same task in two languages is that, and no more. */
function kindOf(seen: OverlapKind, row: Sought, other: RowPrint): OverlapKind {
  if (seen === 'row' || seen === 'completion') return seen;
  if (row.task === null || row.task !== other.task) return seen;
  const areTwo = row.language !== null && other.language !== null && row.language !== other.language;
  return areTwo ? 'translation' : seen === 'near' ? 'id' : seen;
}

function addTo(map: Map<string, number[]>, key: string, row: number): void {
  const list = map.get(key);
  if (!list) map.set(key, [row]);
  else if (list.at(-1) !== row) list.push(row);
}

/** The rows of a key, of which the first stays. */
function take(map: Map<string, number[]>, key: string): readonly number[] {
  const list = map.get(key) ?? [];
  if (list.length > 1) map.set(key, list.slice(0, 1));
  return list;
}
