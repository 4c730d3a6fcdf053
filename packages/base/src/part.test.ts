import { expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { definePart } from './part.ts';

test('a part makes its value of the options as its schema gives them', () => {
  const part = definePart({
    name: 'decay',
    schema: z.strictObject({ rate: z.number().default(0.5) }),
    make: ({ rate }, { steps }: { steps: number }) => rate ** steps,
  });
  expectTypeOf(part.make).toEqualTypeOf<(options: { rate: number }, context: { steps: number }) => number>();
  expectTypeOf<z.input<typeof part.schema>>().toEqualTypeOf<{ rate?: number }>();
  expect(part.make(part.schema.parse({}), { steps: 2 })).toBe(0.25);
});
