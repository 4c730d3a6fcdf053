import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson } from './canonical-json.ts';
import { ConfigError } from './errors.ts';

test('says what JSON says, with sorted keys and without spaces', () => {
  expect(canonicalJson({ b: null, a: [{ d: 1, c: 2 }], Z: 'é' }, 'value')).toBe(
    '{"Z":"é","a":[{"c":2,"d":1}],"b":null}',
  );
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(canonicalJson(value, 'value'))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test.each([
  [{ a: [1, undefined] }, 'value.a.1: needs a JSON value, got undefined'],
  [{ a: Number.NaN }, 'value.a: needs a JSON value, got NaN'],
  [new Map(), 'value: needs a JSON value, got a Map'],
  [[() => 1], 'value.0: needs a JSON value, got a function'],
])('refuses what JSON cannot say, with its place', (value, message) => {
  expect(() => canonicalJson(value, 'value')).toThrow(new ConfigError(message));
});
