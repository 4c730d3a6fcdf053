import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError, DataError, namedError, partTitle } from './index.ts';

test('a part is called by its kind and name, and by the file of its module as seen from here', () => {
  expect(partTitle('optimizer', 'sgd')).toBe('optimizer "sgd"');
  expect(partTitle('optimizer', 'own', join(process.cwd(), 'recipes/own.ts'))).toBe(
    'optimizer "own" (recipes/own.ts)',
  );
  expect(partTitle('optimizer', 'own', '/far/own.ts')).toBe('optimizer "own" (/far/own.ts)');
  expect(partTitle('optimizer', 'own', { name: 'own' })).toBe('optimizer "own"');
});

test('a named error is of the kind of its cause, where that is known', () => {
  class Other extends Error {}
  for (const [cause, kind] of [
    [new ConfigError('why'), ConfigError],
    [new DataError('why'), DataError],
    [new Other('why'), Error],
    ['why', Error],
  ] as const) {
    const error = namedError('part', cause);
    expect([error.message, error.cause, error.constructor]).toEqual(['part: why', cause, kind]);
  }
  expect(namedError('part', new Other('why'), [Other])).toBeInstanceOf(Other);
});
