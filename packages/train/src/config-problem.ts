import { nearestName } from '@flex/base';
import { z } from 'zod';
import { isSection, type KeyPath, type Section } from './config-file.ts';

/** What is wrong with a configuration: where, and a line that begins with the key's path. */
export interface Problem {
  readonly path: KeyPath;
  readonly message: string;
}

/**
 * The first thing wrong with `values`; undefined if nothing is. Unknown keys come first, because a misspelt
 * key is often the reason why another is missing.
 */
export function firstProblem(schema: z.ZodObject, values: Section): Problem | undefined {
  const issues = schema.safeParse(values).error?.issues ?? [];
  const unknown = issues.find((issue) => issue.code === 'unrecognized_keys');
  if (unknown) {
    const path = [...unknown.path, unknown.keys[0]] as KeyPath;
    return { path, message: unknownKey(schema, values, path) };
  }
  if (issues.length === 0) return undefined;
  const path = issues[0].path as KeyPath;
  return { path, message: `${dotted(path)} ${issues[0].message}` };
}

/** The path as it is written on the command line. */
export function dotted(path: KeyPath): string {
  return path.join('.');
}

/** `optimizer.lrr is not a key; did you mean optimizer.lr?`, or the keys there are where none is near. */
function unknownKey(schema: z.ZodObject, values: Section, path: KeyPath): string {
  const key = String(path.at(-1));
  const parent = path.slice(0, -1);
  const siblings = keysAt(schema, values, parent);
  const sibling = nearestName(key, siblings);
  if (sibling) return `${dotted(path)} is not a key; did you mean ${dotted([...parent, sibling])}?`;
  const elsewhere = sections(schema).find((name) => keysAt(schema, values, [name]).includes(key));
  if (elsewhere && elsewhere !== parent[0]) {
    return `${dotted(path)} is not a key; did you mean ${elsewhere}.${key}?`;
  }
  return `${dotted(path)} is not a key; ${dotted(parent) || 'a configuration'} takes ${siblings.join(', ')}`;
}

function sections(schema: z.ZodObject): string[] {
  return Object.keys(schema.shape);
}

/** The keys of the section at `path`; of a part that goes by its name, the keys of the part of that name. */
function keysAt(schema: z.ZodType, values: unknown, path: KeyPath): string[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodArray) {
    const [place, rest] = typeof path[0] === 'number' ? [path[0], path.slice(1)] : [0, path];
    return keysAt(inner.element as z.ZodType, Array.isArray(values) ? values[place] : undefined, rest);
  }
  if (inner instanceof z.ZodDiscriminatedUnion) {
    const options = inner.options as z.ZodObject[];
    const name = isSection(values) ? values.name : undefined;
    const part = options.find(({ shape }) => (shape.name as z.ZodType).safeParse(name).success);
    return part ? keysAt(part, values, path) : [];
  }
  if (!(inner instanceof z.ZodObject)) return [];
  if (path.length === 0) return Object.keys(inner.shape);
  const below = isSection(values) ? values[path[0]] : undefined;
  const next = inner.shape[path[0]] as z.ZodType | undefined;
  return next ? keysAt(next, below, path.slice(1)) : [];
}

/** The schema without its defaults. */
function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodNullable) {
    return unwrap(schema.unwrap() as z.ZodType);
  }
  return schema;
}
