import type { z } from 'zod';

const kinds: Readonly<Record<string, string>> = {
  boolean: 'true or false',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

/**
 * What a value must be, `must be true or false`, where its schema has no words of its own; to be given to
 * zod: `schema.safeParse(value, { error: schemaRule })`. Undefined, and so zod's own text, for rules it does
 * not know.
 */
export const schemaRule: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${kinds[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
    case 'too_small':
      if (issue.origin === 'array') return `must have at least ${issue.minimum} of them`;
      return `must be ${issue.inclusive ? 'at least' : 'above'} ${issue.minimum}`;
    case 'unrecognized_keys':
      return `must not have the key "${issue.keys[0]}"`;
  }
};
