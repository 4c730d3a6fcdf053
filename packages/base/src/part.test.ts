import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import { firstProblem } from './options.ts';
import { definePart, importPart, type PartOf, resolveModule, sectionSchema } from './part.ts';
import { temporaryFile, temporaryFolder } from './testing/temporary-folder.ts';

const decay = definePart({
  name: 'decay',
  schema: z.strictObject({ rate: z.number().default(0.5) }),
  make: ({ rate }, { steps }: { steps: number }) => rate ** steps,
});

test('a part makes its value of the options as its schema gives them', () => {
  expectTypeOf(decay.make).toEqualTypeOf<(options: { rate: number }, context: { steps: number }) => number>();
  expectTypeOf<z.input<typeof decay.schema>>().toEqualTypeOf<{ rate?: number }>();
  expectTypeOf(decay.name).toEqualTypeOf<'decay'>();
  expect(decay.make(decay.schema.parse({}), { steps: 2 })).toBe(0.25);
});

test('a part is one of its kind, and of no other', () => {
  expectTypeOf(decay).toExtend<PartOf<number, { steps: number }>>();
  expectTypeOf(decay).not.toExtend<PartOf<string, { steps: number }>>();
});

test('its section has its options between further keys, its rules, and no other key', () => {
  const schema = z
    .object({ rate: z.int().default(2) })
    .refine(({ rate }) => rate < 9, { error: 'is too fast' });
  const section = sectionSchema(
    { ...decay, schema },
    { before: { name: z.literal('x') }, behind: { at: z.int() } },
  );
  expect(Object.entries(section.parse({ at: 1, name: 'x' }))).toEqual([
    ['name', 'x'],
    ['rate', 2],
    ['at', 1],
  ]);
  expect(firstProblem(section, { name: 'x', at: 1, rate: 9 })?.message).toBe('is too fast');
  expect(firstProblem(section, { name: 'x', at: 1, rat: 9 })?.message).toBe(
    'rat is not a key; did you mean rate?',
  );
  expect(() => sectionSchema(decay, { behind: { rate: z.int() } })).toThrow(
    /^decay: its schema has the key rate/,
  );
});

test('a part is imported from the module that has it as its default export, or refused in a line', async () => {
  const zod = pathToFileURL(join(import.meta.dirname, '../node_modules/zod/index.js')).href;
  const part = "{ name: 'mine', schema: z.strictObject({}), make: () => 3 }";
  const module = (text: string) => temporaryFile('mine.mjs', `import { z } from '${zod}';\n${text}`);
  expect((await importPart(module(`export default ${part};`))).make({} as never, undefined as never)).toBe(3);
  for (const [text, message] of [
    [`export const mine = ${part};`, /mine\.mjs must have a default export made with definePart/],
    ['export default () => 3;', /must have a default export made with definePart/],
    ['throw new Error("no\\nway")', /mine\.mjs cannot be loaded: no way \(line 2\)$/],
  ] as const) {
    await expect(importPart(module(text))).rejects.toThrow(message);
    await expect(importPart(module(text))).rejects.toThrow(ConfigError);
  }
  await expect(importPart(join(temporaryFolder(), 'no.mjs'))).rejects.toThrow(/no\.mjs cannot be loaded/);
  const there = temporaryFile('smooth.mjs', 'export default 3;');
  await expect(importPart(there.replace('smooth', 'smoth'))).rejects.toThrow(
    /smoth\.mjs cannot be loaded: there is no such file; did you mean smooth\.mjs\?$/,
  );
});

test('a module is a path that begins with a dot, or a package, as its folder finds it', () => {
  const file = temporaryFile('mine.mjs', '');
  const folder = dirname(file);
  expect(resolveModule('./mine.mjs', folder)).toBe(file);
  expect(resolveModule(file, '/')).toBe(file);
  expect(() => resolveModule('mine.mjs', folder)).toThrow('mine.mjs is a file here: write ./mine.mjs');
  expect(() => resolveModule('mime.mjs', folder)).toThrow(/; for a file, write \.\/mime\.mjs$/);
  expect(resolveModule('zod', import.meta.dirname)).toMatch(/zod[\\/]index\.js$/);
  expect(resolveModule('zod/v4', import.meta.dirname)).toMatch(/zod[\\/]v4[\\/]index\.js$/);
  expect(() => resolveModule('a-part', folder)).toThrow(
    `a-part cannot be found from ${folder}: Cannot find module`,
  );
});
