import { DataError } from '@flex/base';
import type { Fields, Template } from './template.ts';

/** The kinds of rows there are. */
export const formatNames = [
  'input-ids',
  'prompt-completion',
  'text',
  'mbpp',
  'mbxp',
  'apps',
  'codesearchnet',
] as const;

export type FormatName = (typeof formatNames)[number];

/** A row as its file has it: one JSON object. */
export type RawRow = Readonly<Record<string, unknown>>;

/** A way of writing examples as rows that are JSON objects of texts. */
export interface TextFormat {
  readonly name: Exclude<FormatName, 'input-ids'>;
  /** The shape in words, for messages. */
  readonly shape: string;
  /** Whether `auto` takes a row of these keys for one of this format. */
  readonly matches: (keys: ReadonlySet<string>) => boolean;
  /** The row's texts, by the names that templates use; null if it has no solution. Throws DataError. */
  readonly fields: (row: RawRow, where: string) => Fields | null;
  readonly template: Template;
}

/** Rows of token ids, which are used as they are. */
export const idsShape = '{input_ids, labels?}';

/** Whether `auto` takes a row of these keys for one of token ids. */
export function matchesIds(keys: ReadonlySet<string>): boolean {
  return isExactly(keys, ['input_ids']) || isExactly(keys, ['input_ids', 'labels']);
}

/** The formats of texts, in the order in which `auto` tries them. */
export const textFormats: readonly TextFormat[] = [
  {
    name: 'mbpp',
    shape: 'MBPP {task_id, text, code, test_list}',
    matches: (keys) => has(keys, 'text', 'code', 'test_list'),
    fields: (row, where) => {
      const [test] = texts(row, 'test_list', where);
      if (test === undefined) throw new DataError(`${where}: test_list must have a test, got an empty list`);
      return fields(row, { text: string(row, 'text', where), test, code: code(row, 'code', where) });
    },
    template: { prompt: '"""\n{text}\n{test}\n"""\n', completion: '{code}' },
  },
  {
    name: 'mbxp',
    shape: 'MBXP {task_id, prompt, canonical_solution}',
    matches: (keys) =>
      has(keys, 'prompt', 'canonical_solution') || has(keys, 'prompt', 'language', 'entry_point'),
    fields: (row, where) => {
      const prompt = string(row, 'prompt', where);
      if (row.canonical_solution === undefined || row.canonical_solution === null) return null;
      return fields(row, { prompt, canonical_solution: string(row, 'canonical_solution', where) });
    },
    template: { prompt: '{prompt}', completion: '{canonical_solution}' },
  },
  {
    name: 'apps',
    shape: 'APPS {problem_id, question, solutions}',
    matches: (keys) => has(keys, 'question', 'solutions'),
    fields: (row, where) => {
      const question = string(row, 'question', where);
      const [solution] = texts({ ...row, solutions: fromJson(row.solutions) }, 'solutions', where);
      if (solution === undefined) return null;
      const starter = row.starter_code ? `${string(row, 'starter_code', where).trimEnd()}\n` : '';
      return fields(row, { question, starter_code: starter, solution: unix(solution) });
    },
    template: { prompt: '"""\n{question}\n{starter_code}"""\n', completion: '{solution}' },
  },
  {
    name: 'codesearchnet',
    shape: 'CodeSearchNet {func_documentation_string, whole_func_string} or {docstring, code}',
    matches: (keys) =>
      has(keys, 'func_documentation_string', 'whole_func_string') || has(keys, 'docstring', 'code'),
    fields: (row, where) => {
      const newer = 'whole_func_string' in row;
      const docstring = string(row, newer ? 'func_documentation_string' : 'docstring', where);
      return fields(row, { docstring, code: code(row, newer ? 'whole_func_string' : 'code', where) });
    },
    template: { prompt: '"""\n{docstring}\n"""\n', completion: '{code}' },
  },
  {
    name: 'prompt-completion',
    shape: '{prompt, completion}',
    matches: (keys) => isExactly(keys, ['prompt', 'completion']),
    fields: (row, where) =>
      fields(row, { prompt: string(row, 'prompt', where), completion: string(row, 'completion', where) }),
    template: { prompt: '{prompt}', completion: '{completion}' },
  },
  {
    name: 'text',
    shape: '{text}',
    matches: (keys) => isExactly(keys, ['text']),
    fields: (row, where) => fields(row, { text: string(row, 'text', where) }),
    template: { prompt: '', completion: '{text}' },
  },
];

/** The row's task id as a number: 12 for `12` and for `MBJP/12`; null for a row without one. */
export function taskIdOf(row: RawRow): number | null {
  const id = row.task_id ?? row.problem_id;
  if (Number.isSafeInteger(id)) return id as number;
  const match = typeof id === 'string' ? /(?:^|\/)(\d+)$/.exec(id) : null;
  return match ? Number(match[1]) : null;
}

/** Whether the row's task id is one of MBPP's, in which MBPP's named splits have their meaning. */
export function isMbppTask(row: RawRow, format: FormatName): boolean {
  return (
    (format === 'mbpp' && taskIdOf(row) !== null) ||
    (format === 'mbxp' && /^MB[A-Z]+\/\d+$/.test(String(row.task_id)))
  );
}

/** The row's member of token ids or labels: whole numbers. Throws DataError. */
export function integers(row: RawRow, key: string, where: string): number[] {
  const value = row[key];
  if (Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry))) return value as number[];
  throw new DataError(`${where}: ${key} must be a list of whole numbers, got ${describe(value)}`);
}

/** What kind of JSON value this is, in words. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return `a list ${short(value)}`;
  return typeof value === 'object' ? `an object ${short(value)}` : short(value);
}

function short(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function has(keys: ReadonlySet<string>, ...needed: readonly string[]): boolean {
  return needed.every((key) => keys.has(key));
}

/** Whether the keys are these and no others, but for `task_id`. */
function isExactly(keys: ReadonlySet<string>, needed: readonly string[]): boolean {
  return has(keys, ...needed) && keys.size === needed.length + (keys.has('task_id') ? 1 : 0);
}

function string(row: RawRow, key: string, where: string): string {
  const value = row[key];
  if (typeof value === 'string') return value;
  throw new DataError(`${where}: ${key} must be a text, got ${describe(value)}`);
}

function code(row: RawRow, key: string, where: string): string {
  return unix(string(row, key, where));
}

function unix(text: string): string {
  return text.replaceAll('\r\n', '\n');
}

function texts(row: RawRow, key: string, where: string): string[] {
  const value = row[key];
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
  throw new DataError(`${where}: ${key} must be a list of texts, got ${describe(value)}`);
}

/** APPS's rows keep lists as JSON text; a text that is no JSON stays one, and is refused as no list. */
function fromJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (value === '') return [];
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** The row's own texts, and over them those that the format makes of it. */
function fields(row: RawRow, made: Readonly<Record<string, string>>): Fields {
  const own = Object.entries(row).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return new Map([...own, ...Object.entries(made)]);
}
