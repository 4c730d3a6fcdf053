import { nearestName } from '@flex/base';
import { z } from 'zod';

// The values of a configuration. The message of each is a predicate, whose subject is the path of the key.

/** A value as a message shows it: JSON, cut to 60 characters. */
export function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'nothing');
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Words as English lists them: `a`, `a or b`, `a, b or c`. */
function either(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** The predicate of a message whose subject is the key's path: what is needed, and what came. */
export function expected(need: string): (issue: { readonly input?: unknown }) => string {
  return ({ input }) =>
    input === undefined ? `is missing; it must be ${need}` : `must be ${need}, got ${show(input)}`;
}

/** The predicate for a value that is none of the names; `unbuilt` are known names that do nothing yet. */
export function unknownName(input: unknown, names: readonly string[], unbuilt: readonly string[]): string {
  if (typeof input !== 'string') return expected(either(names))({ input });
  if (unbuilt.includes(input)) return `${input} is not built yet; take ${either(names)}`;
  const near = nearestName(input, names);
  return `must be ${either(names)}, got ${show(input)}${near ? `; did you mean ${near}?` : ''}`;
}

/** The options of a section: how it is named where something else stands in its place. */
export function section(need = 'a section of keys') {
  return { error: expected(need) };
}

export function whole(least: number, most = Number.MAX_SAFE_INTEGER) {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  const error = expected(`a whole number ${range}`);
  return z.int({ error }).min(least, { error }).max(most, { error });
}

export function atLeast(least: number) {
  const error = expected(`a number of at least ${least}`);
  return z.number({ error }).min(least, { error });
}

export function above(bound: number) {
  const error = expected(`a number above ${bound}`);
  return z.number({ error }).gt(bound, { error });
}

export function between(least: number, most: number) {
  const error = expected(`a number from ${least} to ${most}`);
  return z.number({ error }).min(least, { error }).max(most, { error });
}

/** A number in (0, 1]. */
export function share() {
  const error = expected('a number above 0 and at most 1');
  return z.number({ error }).gt(0, { error }).max(1, { error });
}

/** A number in [0, 1). */
export function belowOne() {
  const error = expected('a number of at least 0 and below 1');
  return z.number({ error }).min(0, { error }).lt(1, { error });
}

export function text(need: string) {
  const error = expected(need);
  return z.string({ error }).min(1, { error });
}

export function flag() {
  return z.boolean({ error: expected('true or false') });
}

export function oneOf<const N extends readonly string[]>(names: N, unbuilt: readonly string[] = []) {
  return z.enum(names, { error: ({ input }) => unknownName(input, names, unbuilt) });
}
