import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { firstProblem } from '../options.ts';
import { type Part, sectionSchema } from '../part.ts';

export interface CheckPartOptions<Schema extends z.ZodObject, Context> {
  /** Options that the part can be made of; none unless given. */
  readonly options?: z.input<Schema>;
  /** What `make` is told besides. */
  readonly context?: Context;
}

/**
 * Tests that a part keeps its contract: its schema takes no options or says which is missing, refuses a key
 * that it does not know, and reads options with their defaults back as they were printed; `make` changes
 * nothing that it is given and makes the same kind of value each time. Throws an Error that says what does
 * not hold.
 */
export async function checkPart<Schema extends z.ZodObject, Value, Context>(
  part: Part<Schema, Value, Context>,
  { options: given, context }: CheckPartOptions<Schema, Context> = {},
): Promise<void> {
  const require = (holds: boolean, claim: string): void => {
    if (!holds) throw new Error(`part "${part.name}": ${claim}`);
  };
  require(part.name !== '', 'its name must not be empty');
  for (const key of Object.keys(part.schema.shape)) {
    require(/^[a-z][A-Za-z0-9]*$/.test(key), `its option ${key} must be camelCase`);
  }
  const schema = sectionSchema(part as Part<z.ZodObject, Value, never>);
  const bare = firstProblem(schema, {});
  require(!bare ||
    bare.message.includes('is missing'), `it must take {} or say what is missing: ${bare?.message}`);
  const problem = firstProblem(schema, given ?? {});
  require(!problem, `its options are refused: ${problem?.message}`);

  const options = schema.parse(given ?? {}) as z.output<Schema>;
  const printed: unknown = JSON.parse(JSON.stringify(options));
  require(isDeepStrictEqual(printed, options), 'its options must be JSON values');
  const again = schema.safeParse(printed);
  require(isDeepStrictEqual(again.data, options), 'its options must be read as they are printed');
  require(firstProblem(schema, { ...options, noSuchKey: 1 }) !==
    undefined, 'it must refuse a key it does not know');

  const values = [await part.make(options, context as Context), await part.make(options, context as Context)];
  require(isDeepStrictEqual(options, printed), 'make must not change its options');
  const [first, second] = values.map(kindOf);
  require(first === second, `make must make the same each time, it made ${first} and ${second}`);
}

function kindOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? `{${Object.keys(value).sort()}}` : typeof value;
}
