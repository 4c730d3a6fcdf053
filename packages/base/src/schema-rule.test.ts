import { expect, it } from 'vitest';
import * as z from 'zod';
import { schemaRule } from './schema-rule.ts';

it.each<[z.ZodType, unknown, string]>([
  [z.boolean(), null, 'must be true or false'],
  [z.int(), 1.5, 'must be a whole number'],
  [z.array(z.string()), {}, 'must be a list'],
  [z.record(z.string(), z.string()), 1, 'must be an object'],
  [z.literal([0, 1]), 2, 'must be 0 or 1'],
  [z.enum(['a', 'b']), 'c', 'must be "a" or "b"'],
  [z.number().nonnegative(), -1, 'must be at least 0'],
  [z.number().positive(), 0, 'must be above 0'],
  [z.array(z.string()).min(1), [], 'must have at least 1 of them'],
  [z.strictObject({}), { b: 1 }, 'must not have the key "b"'],
  [z.boolean('is up to you'), null, 'is up to you'],
])('what a schema wants of a value is said in plain words: %#', (schema, value, rule) => {
  expect(schema.safeParse(value, { error: schemaRule }).error?.issues[0].message).toBe(rule);
});
