import { DataError, nearestName, show } from '@flex/base';
import type { JsonRow } from './json-rows.ts';

/** The members of a JSON object. */
export type Members = Readonly<Record<string, unknown>>;

/** A row as it was read: one JSON object, and where it stands. */
export interface RawRow extends JsonRow {
  readonly value: Members;
}

/** The row, if it is a JSON object. Throws DataError for anything else. */
export function rawRow(row: JsonRow): RawRow {
  return { ...row, value: members(row.value, row.where) };
}

/** The value, if it is a JSON object. Throws DataError for anything else. */
export function members(value: unknown, where: string, what = 'a row'): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members;
  throw new DataError(`${where}: ${what} must be a JSON object, got ${show(value)}`);
}

/** Whether all of these keys are there. */
export function has(row: Members, ...keys: readonly string[]): boolean {
  return keys.every((key) => Object.hasOwn(row, key));
}

/** Whether these keys are there and no others, but for `task_id`. */
export function hasOnly(row: Members, ...keys: readonly string[]): boolean {
  return has(row, ...keys) && Object.keys(row).every((key) => key === 'task_id' || keys.includes(key));
}

/** A member that must be a text. Throws DataError. */
export function text(row: RawRow, key: string): string {
  return member(row, key, 'a text', (value) => typeof value === 'string') as string;
}

/** A member that may be absent or null, and is a text otherwise. Throws DataError. */
export function optionalText(row: RawRow, key: string): string | null {
  return row.value[key] == null ? null : text(row, key);
}

/** A member that must be a list of texts. Throws DataError. */
export function texts(row: RawRow, key: string): readonly string[] {
  const isTexts = (value: unknown) => isList(value, (item) => typeof item === 'string');
  return member(row, key, 'a list of texts', isTexts) as string[];
}

/** A member that may be absent or null, and is a list of texts otherwise. Throws DataError. */
export function optionalTexts(row: RawRow, key: string): readonly string[] {
  return row.value[key] == null ? [] : texts(row, key);
}

/** A member that must be a list of whole numbers. Throws DataError. */
export function integers(row: RawRow, key: string): readonly number[] {
  return member(row, key, 'a list of whole numbers', (value) =>
    isList(value, Number.isSafeInteger),
  ) as number[];
}

/** An id, as text: a text that is not empty, or a whole number. Throws DataError. */
export function id(row: RawRow, key: string): string {
  const isId = (value: unknown) => Number.isSafeInteger(value) || (typeof value === 'string' && value !== '');
  return String(member(row, key, 'a text or a whole number', isId));
}

/** The row's `task_id`, or else its `problem_id`; null where both are absent or null. Throws DataError. */
export function taskId(row: RawRow): string | null {
  const key = ['task_id', 'problem_id'].find((name) => row.value[name] != null);
  return key === undefined ? null : id(row, key);
}

/** The text with \n for line ends. */
export function unix(value: string): string {
  return value.replaceAll('\r\n', '\n');
}

function isList(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem);
}

function member({ value, where }: RawRow, key: string, kind: string, isKind: (value: unknown) => boolean) {
  const found = value[key];
  if (isKind(found)) return found;
  if (Object.hasOwn(value, key)) throw new DataError(`${where}: ${key} must be ${kind}, got ${show(found)}`);
  const meant = nearestName(key, Object.keys(value));
  const hint = meant ? `; is ${show(meant)} meant to be ${key}?` : '';
  throw new DataError(`${where}: has no ${key}, which must be ${kind}${hint}`);
}
