import { expect, it } from 'vitest';
import { z } from 'zod';
import { definePart } from '../part.ts';
import { checkPart } from './index.ts';

const schema = z.strictObject({ rate: z.number().min(0).default(0.5), steps: z.array(z.int()).default([1]) });
const part = definePart({ name: 'decay', schema, make: ({ rate }) => ({ at: (i: number) => rate ** i }) });

it('a sound part passes, also one that needs an option and a context', async () => {
  await checkPart(part);
  const needy = definePart({
    name: 'needy',
    schema: z.object({ path: z.string() }),
    make: ({ path }, { folder }: { folder: string }) => [folder, path],
  });
  await checkPart(needy, { options: { path: 'a' }, context: { folder: 'b' } });
  await expect(checkPart(needy)).rejects.toThrow('path is missing; it must be a text');
});

let calls = 0;
it.each<[string, Parameters<typeof checkPart>[0], string]>([
  ['without a name', { ...part, name: '' }, 'name must not be empty'],
  [
    'with an option in snake_case',
    { ...part, schema: z.strictObject({ warm_up: z.int().default(0) }) },
    'camelCase',
  ],
  [
    'whose default is refused',
    { ...part, schema: z.strictObject({ n: z.int().prefault(0.5) }) },
    'must be a whole',
  ],
  ['that takes any key', { ...part, schema: z.looseObject({}) }, 'refuse a key'],
  ['with a date', { ...part, schema: z.strictObject({ at: z.date().default(new Date(0)) }) }, 'JSON values'],
  [
    'whose options change when read again',
    {
      ...part,
      schema: z.strictObject({
        n: z
          .number()
          .transform((n) => n + 1)
          .default(0),
      }),
    },
    'as they are printed',
  ],
  [
    'that changes its options',
    {
      ...part,
      schema,
      make: (options) => ({ ...(options.steps as number[]), n: (options.steps as number[]).push(2) }),
    },
    'must not change its options',
  ],
  [
    'that makes something else each time',
    { ...part, make: () => (calls++ % 2 ? 1 : 'one') },
    'the same each time',
  ],
])('a part %s does not', async (_, wrong, claim) => {
  await expect(checkPart(wrong)).rejects.toThrow(claim);
});
