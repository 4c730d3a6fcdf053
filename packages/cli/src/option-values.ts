import { expandHome, locate, type PathKind } from '@flex/base';
import { InvalidArgumentError } from 'commander';

/** A whole number from 0 to 2³² − 1. */
export function whole(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) >= 2 ** 32) {
    throw new InvalidArgumentError('It must be a whole number from 0 to 2^32 - 1.');
  }
  return Number(text);
}

/** A whole number from 1 to 2³² − 1. */
export function positive(text: string): number {
  const value = whole(text);
  if (value === 0) throw new InvalidArgumentError('It must be a whole number from 1.');
  return value;
}

/** A number of threads, from 1 to 256. */
export function threads(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) < 1 || Number(text) > 256) {
    throw new InvalidArgumentError('It must be a whole number from 1 to 256.');
  }
  return Number(text);
}

/** A number of bytes above 0, such as `24GiB`, `24GB` or `500MB`. */
export function byteCount(text: string): number {
  const [, amount, prefix = '', binary] = /^(\d{1,15}(?:\.\d{1,3})?) ?(?:([MG])(i?))?B$/.exec(text) ?? [];
  const bytes = Math.floor(Number(amount) * (binary ? 1024 : 1000) ** { '': 0, M: 2, G: 3 }[prefix]!);
  if (!(bytes > 0))
    throw new InvalidArgumentError('It must be a number with its unit, such as 24GiB or 500MB.');
  return bytes;
}

/** A port of TCP, or 0. */
export function port(text: string): number {
  const value = whole(text);
  if (value > 65_535) throw new InvalidArgumentError('It must be a whole number from 0 to 65535.');
  return value;
}

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

/** A number above 0 and at most 1. */
export function shareAboveZero(text: string): number {
  const value = number(text);
  if (value <= 0 || value > 1) throw new InvalidArgumentError('It must be a number above 0 and at most 1.');
  return value;
}

/** How many permutations a band of 95 % is made of. */
export function draws(text: string): number {
  const value = whole(text);
  if (value !== 0 && value % 40 !== 39)
    throw new InvalidArgumentError('It must be 0 or one less than a multiple of 40, such as 39 or 199.');
  return value;
}

/** The k of pass@k, such as `1,10`. */
export function kList(text: string): number[] {
  if (!/^[1-9]\d{0,5}(,[1-9]\d{0,5})*$/.test(text)) {
    throw new InvalidArgumentError('It must be whole numbers from 1 with commas, such as 1,10.');
  }
  return text.split(',').map(Number);
}

/** A text that may be a path, as it is. */
export function pathText(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty, and must be a path.');
  return text;
}

/** The path of a thing of a kind, looked up as `locate` does. Throws what that throws. */
export function placeOf(kind: PathKind): (text: string) => string {
  return (text) => locate(pathText(text), kind);
}

/** The name of a benchmark, or the path of one. */
export const benchmarkName = expandHome;
