import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { startRedis, withoutRedis } from '@flex/queue/testing';
import { describe, expect, test, vi } from 'vitest';
import { flex } from '../testing/flex.ts';
import { flexOn, isFoldable } from '../testing/screen.ts';

const cpu = ['--device', 'cpu'];

describe('the queue', () => {
  const secret = 'redis://me:hunter2@127.0.0.1:1';
  const file = () => {
    const path = join(temporaryFolder(), 'queue');
    writeFileSync(path, secret);
    return path;
  };
  test.each([
    [() => [], /^flex: --queue: needs a URL .* or FLEX_REDIS_URL\n$/],
    [() => ['--queue'], /^flex: --queue: needs a URL .* or FLEX_REDIS_URL\n$/],
    [() => ['--queue', 'http://me:hunter2@h'], /^flex: --queue: must be redis:\/\/USER/],
    [
      () => ['--queue', secret],
      /^flex: redis:\/\/127\.0\.0\.1:1\/0: no Redis can be reached there: .*ECONNREFUSED/,
    ],
    [
      () => ['--queue', file()],
      /^flex: redis:\/\/127\.0\.0\.1:1\/0: no Redis can be reached there: .*ECONNREFUSED/,
    ],
  ] as const)('is told wrong in a line without its secret (%#)', async (args, line) => {
    vi.stubEnv('FLEX_REDIS_URL', '');
    const { code, stdout, stderr } = await flex('worker', ...args(), ...cpu, '--json', '--quiet');
    vi.unstubAllEnvs();
    expect(code).toBe(2);
    expect(stderr).toMatch(line);
    expect(JSON.parse(stdout).error).toMatchObject({ kind: 'configuration', exit_code: 2 });
    expect(stdout + stderr).not.toContain('hunter2');
  });

  test.skipIf(withoutRedis)(
    'of FLEX_REDIS_URL has no job: the worker ends, and fits 40 columns',
    async () => {
      const { url } = await startRedis();
      vi.stubEnv('FLEX_REDIS_URL', url);
      const args = ['worker', '--idle', '1', ...cpu];
      const { code, screen, stdout, stderr } = await flexOn({ columns: 40, colour: false }, args);
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '0 of 0 jobs were done\n', stderr: '' });
      expect(screen.tooLong.filter((line) => isFoldable(line, 40))).toEqual([]);
      expect(process.env.FLEX_REDIS_URL).toBe(undefined);
      vi.unstubAllEnvs();
    },
  );
});
