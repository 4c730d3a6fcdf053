import type { z } from 'zod';

/**
 * What plugs in by its name: a regularizer, an optimizer, a schedule, a data format, a callback, a benchmark.
 * `schema` says which options it takes, `make` makes its value of them; `context` is what a run tells the parts of
 * this kind. Built-in parts and a stranger's come through this door alike:
 *
 *     export default definePart({
 *       name: 'total-variation',
 *       schema: z.strictObject({ order: z.int().positive().default(1) }),
 *       make: ({ order }) => ({ penalty: (adapters) => variation(adapters, order) }),
 *     });
 */
export interface Part<Schema extends z.ZodObject, Value, Context = unknown> {
  readonly name: string;
  readonly schema: Schema;
  make(options: z.output<Schema>, context: Context): Value;
}

/** Types a part: `make`'s options are what its schema gives, with its defaults. */
export function definePart<Schema extends z.ZodObject, Value, Context = unknown>(
  part: Part<Schema, Value, Context>,
): Part<Schema, Value, Context> {
  return part;
}
