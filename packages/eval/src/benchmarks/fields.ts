import { DataError } from '../errors.ts';
import { nearest } from './nearest.ts';

/** A row of data as it was read. */
export type RawRow = Readonly<Record<string, unknown>>;

/** A value in at most 60 characters on one line, for messages. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

/** The value, if it is a JSON object. Throws DataError for anything else. */
export function object(value: unknown, where: string, what = 'a row'): RawRow {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as RawRow;
  throw new DataError(`${where}: ${what} must be a JSON object, got ${show(value)}`);
}

/** A member that must be a text. Throws DataError. */
export function text(row: RawRow, key: string, where: string): string {
  const value = present(row, key, 'a text', where);
  if (typeof value === 'string') return value;
  throw new DataError(`${where}: ${key} must be a text, got ${show(value)}`);
}

/** A member that may be absent or null, and is a text otherwise. Throws DataError. */
export function optionalText(row: RawRow, key: string, where: string): string | null {
  return row[key] === undefined || row[key] === null ? null : text(row, key, where);
}

/** A member that must be a list of texts. Throws DataError. */
export function texts(row: RawRow, key: string, where: string): string[] {
  const value = present(row, key, 'a list of texts', where);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new DataError(`${where}: ${key} must be a list of texts, got ${show(value)}`);
}

/** A member that may be absent or null, and is a list of texts otherwise. Throws DataError. */
export function optionalTexts(row: RawRow, key: string, where: string): string[] {
  return row[key] === undefined || row[key] === null ? [] : texts(row, key, where);
}

/** An id, as text: a text that is not empty, or a whole number. Throws DataError. */
export function id(row: RawRow, key: string, where: string): string {
  const value = present(row, key, 'a text or a whole number', where);
  if (Number.isSafeInteger(value) || (typeof value === 'string' && value !== '')) return String(value);
  throw new DataError(`${where}: ${key} must be a text or a whole number, got ${show(value)}`);
}

function present(row: RawRow, key: string, kind: string, where: string): unknown {
  if (Object.hasOwn(row, key)) return row[key];
  const meant = nearest(key, Object.keys(row));
  throw new DataError(
    `${where}: has no ${key}, which must be ${kind}${meant ? `; is ${show(meant)} meant to be ${key}?` : ''}`,
  );
}
