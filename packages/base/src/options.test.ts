import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import { firstProblem, readOptions } from './options.ts';
import { respell } from './spelling.ts';

const text = z.string().min(1);

describe('a value that is refused is told what is needed there:', () => {
  test.each<[string, z.ZodType, unknown, string]>([
    ['a bound', z.int().min(1), 0, 'must be a whole number of at least 1, got 0'],
    ['a fraction', z.int().min(1), 1.5, 'must be a whole number of at least 1, got 1.5'],
    ['two bounds', z.number().gte(0).lt(1), 1, 'must be a number of at least 0 and below 1, got 1'],
    ['a share', z.number().positive().max(1), 2, 'must be a number above 0 and at most 1, got 2'],
    ['a range', z.int().min(0).max(9), 10, 'must be a whole number from 0 to 9, got 10'],
    ['any number', z.number(), Number.NaN, 'must be a number, got NaN'],
    ['nothing', text, undefined, 'is missing; it must be a text'],
    ['an empty text', text, '', 'must be a text, got ""'],
    ['what may be null', text.nullable(), 3, 'must be a text, got 3'],
    ['a flag', z.boolean(), 'yes', 'must be true or false, got "yes"'],
    [
      'a name',
      z.enum(['row', 'column']),
      'colum',
      'must be row or column, got "colum"; did you mean column?',
    ],
    ['no name', z.enum(['row', 'column']), 3, 'must be row or column, got 3'],
    ['one of two', z.union([z.boolean(), z.literal('auto')]), 3, 'must be true or false or auto, got 3'],
    [
      'what is described',
      z.tuple([z.number()]).describe('a list of one'),
      [],
      'must be a list of one, got []',
    ],
    ['a place in a list', z.tuple([z.number()]), ['x'], '.0 must be a number, got "x"'],
    ['a member', z.record(z.string(), z.number()), { q_proj: 'x' }, '.q_proj must be a number, got "x"'],
    ['a section', z.strictObject({}), 3, 'must be a section of keys, got 3'],
    ['a rule of its own', z.int().refine((n) => n % 2 === 0, { error: 'must be even' }), 3, 'must be even'],
    ['a rule of zod', z.email(), 'x', 'is refused: Invalid email address'],
    [
      'a longest text',
      z.string().max(2),
      'abc',
      'is refused: Too big: expected string to have <=2 characters',
    ],
    ['any value', z.custom(() => false), 3, 'must be another value, got 3'],
  ])('%s', (_, schema, given, message) => {
    const problem = firstProblem(z.strictObject({ key: schema }), { key: given });
    expect(problem?.message).toBe(message.startsWith('.') ? `key${message}` : `key ${message}`);
  });
});

const sections = z.strictObject({
  optimizer: z.strictObject({ lr: z.number().default(1), weightDecay: z.number().default(0) }).prefault({}),
  parts: z.array(z.strictObject({ phiLow: z.number() })).default([]),
  template: z.strictObject({ prompt: z.string() }).nullable().default(null),
});

describe('a key that nobody knows is told', () => {
  test.each<[string, object, string]>([
    ['its neighbour', { optimizer: { lrr: 1 } }, 'optimizer.lrr is not a key; did you mean optimizer.lr?'],
    ['its section', { lr: 1 }, 'lr is not a key; did you mean optimizer.lr?'],
    ['a list', { phiLow: 1 }, 'phiLow is not a key; did you mean parts.phiLow?'],
    ['all there are', { optimizer: { x: 1 } }, 'optimizer.x is not a key; optimizer takes lr, weightDecay'],
    ['all sections', { colour: 1 }, 'colour is not a key; the top level takes optimizer, parts, template'],
    [
      'in what may be null',
      { template: { promt: '' } },
      'template.promt is not a key; did you mean template.prompt?',
    ],
    ['before others', { parts: [{ phiLo: 1 }] }, 'parts.0.phiLo is not a key; did you mean parts.0.phiLow?'],
  ])('%s', (_, given, message) => {
    expect(firstProblem(sections, given)?.message).toBe(message);
  });

  test('as its file spells it', () => {
    const spell = (path: readonly (string | number)[]) =>
      path.map((key) => (typeof key === 'string' ? respell(key) : key));
    expect(firstProblem(sections, { optimizer: { weight_decay: 1 } }, spell)?.message).toBe(
      'optimizer.weightDecay is not a key; did you mean optimizer.weight_decay?',
    );
  });
});

test('options are read with their defaults, or refused by name', () => {
  expect(readOptions(sections, {}, 'run')).toEqual({
    optimizer: { lr: 1, weightDecay: 0 },
    parts: [],
    template: null,
  });
  const wrong = { optimizer: { lr: 'x' as never } };
  expect(() => readOptions(sections, wrong, 'run')).toThrow(
    new ConfigError('run: optimizer.lr must be a number, got "x"'),
  );
});

test('a rule over several keys is told with its place', () => {
  const schema = z
    .strictObject({ a: z.int(), b: z.int() })
    .refine(({ a, b }) => a < b, { error: 'needs a < b' });
  expect(firstProblem(z.strictObject({ part: schema }), { part: { a: 2, b: 1 } })?.message).toBe(
    'part needs a < b',
  );
  expect(firstProblem(schema, { a: 2, b: 1 })?.message).toBe('needs a < b');
});
