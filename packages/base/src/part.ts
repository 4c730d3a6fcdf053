import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import { oneLine } from './one-line.ts';

/**
 * What plugs in by its name: a regularizer, an optimizer, a schedule, a data format, a callback, a
 * benchmark. `schema` says which options it takes, `make` makes its value of them; `context` is what a run
 * tells the parts of this kind. Built-in parts and a stranger's come through this door alike:
 *
 *     export default definePart({
 *       name: 'total-variation',
 *       schema: z.strictObject({ order: z.int().positive().default(1) }),
 *       make: ({ order }) => ({ penalty: (adapters) => variation(adapters, order) }),
 *     });
 *
 * Options are JSON values, camelCase here and snake_case in files (see `respell`). `make` is pure: it
 * changes nothing that it is given. `checkPart` of `@flex/base/testing` tests a part in a line.
 */
export interface Part<Schema extends z.ZodObject, Value, Context = unknown, Name extends string = string> {
  readonly name: Name;
  readonly schema: Schema;
  make(options: z.output<Schema>, context: Context): Value | Promise<Value>;
}

/** Any part of a kind, whatever its options. */
export type PartOf<Value, Context = unknown> = Part<z.ZodObject, Value, Context>;

/** Types a part: `make`'s options are what its schema gives, with its defaults. */
export function definePart<
  const Name extends string,
  Schema extends z.ZodObject,
  Made,
  Context = unknown,
>(part: {
  readonly name: Name;
  readonly schema: Schema;
  make(options: z.output<Schema>, context: Context): Made;
}) {
  return part;
}

/**
 * The section of a part in a configuration: its options, further keys before and behind them, and no others,
 * unless its schema takes any. Throws ConfigError where the part has an option of the name of a further key.
 */
export function sectionSchema(
  { name, schema }: PartOf<unknown, never>,
  { before = {}, behind = {} }: { before?: z.ZodRawShape; behind?: z.ZodRawShape } = {},
): z.ZodObject {
  const taken = Object.keys({ ...before, ...behind }).find((key) => key in schema.shape);
  if (taken)
    throw new ConfigError(`${name}: its schema has the key ${taken}, which means something else here`);
  const shape = { ...before, ...schema.shape, ...behind };
  return schema.clone({ ...schema.def, shape, catchall: schema.def.catchall ?? z.never() });
}

/** The default export of a module: a path, or the name of a package. Throws ConfigError, one line. */
export async function importDefault(module: string): Promise<unknown> {
  try {
    const { default: found } = await import(isAbsolute(module) ? pathToFileURL(module).href : module);
    return found;
  } catch (cause) {
    throw new ConfigError(`${module} cannot be loaded: ${oneLine((cause as Error).message)}`, { cause });
  }
}

/** The part that a module has as its default export. Throws ConfigError, one line, where there is none. */
export async function importPart(module: string): Promise<PartOf<unknown, never>> {
  const found = await importDefault(module);
  if (isPart(found)) return found;
  throw new ConfigError(`${module} must have a default export made with definePart({ name, schema, make })`);
}

export function isPart(value: unknown): value is PartOf<unknown, never> {
  const { name, schema, make } = (value ?? {}) as Partial<PartOf<unknown, never>>;
  return typeof name === 'string' && schema instanceof z.ZodObject && typeof make === 'function';
}
