import { DataError, dotted, type KeyPath, parseJson, readWhole, schemaRule } from '@flex/base';
import type { z } from 'zod';

/**
 * The content of a JSON file that flex wrote, as `schema` reads it. Throws DataError with the file, the key and,
 * where there is one, the cure.
 */
export function readRecord<T>(file: string, schema: z.ZodType<T>, cure?: string): T {
  const { data, error } = schema.safeParse(parseJson(readWhole(file).toString(), file), {
    error: schemaRule,
  });
  if (error === undefined) return data as T;
  const [{ path, message }] = error.issues;
  const wrong = [dotted(path as KeyPath), message].filter(Boolean).join(' ');
  throw new DataError([`${file}: ${wrong}`, cure].filter(Boolean).join('; '));
}
