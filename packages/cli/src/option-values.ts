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
