import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { redisAddress } from './redis-address.ts';

test('an address is a URL, a file that holds one, or FLEX_REDIS_URL, which no later process has', () => {
  const file = join(temporaryFolder(), 'queue');
  writeFileSync(file, 'redis://me:secret@node3/2\n');
  expect(redisAddress(file)).toEqual({
    name: 'redis://node3:6379/2',
    options: { host: 'node3', port: 6379, db: 2, username: 'me', password: 'secret' },
  });
  expect(redisAddress('rediss://[::1]:7000')).toEqual({
    name: 'rediss://[::1]:7000/0',
    options: { host: '::1', port: 7000, db: 0, tls: { servername: '::1' } },
  });
  const env = { FLEX_REDIS_URL: 'redis://:s@h', OTHER: '1' };
  expect(redisAddress(true, env)).toMatchObject({ name: 'redis://h:6379/0', options: { password: 's' } });
  expect(env).toEqual({ OTHER: '1' });
  expect(() => redisAddress(undefined, {})).toThrow(/^--queue: needs a URL .* or FLEX_REDIS_URL$/);
});

test('user and password are any text, and stand in no name', () => {
  const secret = fc.string({ unit: 'grapheme', minLength: 4 });
  fc.assert(
    fc.property(secret, secret, (user, password) => {
      const given = `redis://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h.example:1`;
      expect(redisAddress(given)).toEqual({
        name: 'redis://h.example:1/0',
        options: { host: 'h.example', port: 1, db: 0, username: user, password },
      });
    }),
  );
});

test.each([
  'http://me:hunter2@h',
  'redis://me:hunter2@h/db',
  'redis://me:hunter2@h?tls=1',
  'redis://me:hunter2@h:99999999',
  'redis://me:hunter2%@h',
  'redis://me:hunter2@',
  'rediss:hunter2',
  'hunter2',
])('%s is refused in a line without its secret', (text) => {
  expect(() => redisAddress(text)).toThrow(/^--queue: .*(redis:\/\/USER:PASSWORD@HOST:PORT\/DB|%25)/);
  expect(() => redisAddress(text)).toThrow(expect.not.stringContaining('hunter2'));
  const file = join(temporaryFolder(), 'queue');
  writeFileSync(file, text);
  expect(() => redisAddress(file)).toThrow(expect.not.stringContaining('hunter2'));
});
