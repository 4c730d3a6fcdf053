import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, hubPath } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { HubError } from './hub-error.ts';
import {
  askedFor,
  eachWithHub,
  expectWhole,
  failAt,
  get,
  hub,
  isCached,
  named,
  needed,
  patience,
  refusal,
  serveModel,
  weights,
} from './testing/hub-case.ts';
import { bytesOf } from './testing/model-files.ts';

/** A full disk from the n-th write on, as the operating system tells it. */
const disk = vi.hoisted(() => ({
  writes: 0,
  failsAt: Number.POSITIVE_INFINITY,
  free: Number.POSITIVE_INFINITY,
}));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const full = (syscall: string) =>
    Object.assign(new Error(`ENOSPC: no space left on device, ${syscall}`), { code: 'ENOSPC', syscall });
  return {
    ...fs,
    writeSync: (file: number, piece: Uint8Array, from: number, length: number) => {
      if (++disk.writes < disk.failsAt) return fs.writeSync(file, piece, from, length);
      // Of the first write that it refuses it takes half.
      if (disk.writes === disk.failsAt) return fs.writeSync(file, piece, from, Math.ceil(length / 2));
      throw full('write');
    },
    symlinkSync: (target: string, path: string) => {
      if (++disk.writes >= disk.failsAt) throw full('symlink');
      fs.symlinkSync(target, path);
    },
    statfsSync: (path: string) => {
      const stats = fs.statfsSync(path);
      return { ...stats, bavail: Math.min(stats.bavail, disk.free / stats.bsize) };
    },
  };
});

const long = process.env.FLEX_LONG_TESTS === '1';

eachWithHub();
beforeEach(() => {
  Object.assign(disk, { writes: 0, failsAt: Number.POSITIVE_INFINITY, free: Number.POSITIVE_INFINITY });
});

describe('what fails on the way', () => {
  test('a connection that breaks or falls silent, is met with the rest of the file', async () => {
    const files = serveModel();
    failAt(weights, null, { breaksAfter: 100_000 }, null, { stallsAfter: 50_000 }, null, { breaksAfter: 0 });
    expectWhole(
      await get('org/name', 'model', { patience: { tries: 9, pause: 0.001, silence: 0.5 } }),
      files,
    );
    const ranges = askedFor(weights).filter(({ at }) => at === 'storage');
    // A machine that is busy may be silent more often.
    expect(ranges.length).toBeGreaterThanOrEqual(4);
    expect(ranges.filter(({ range }) => range !== null).length).toBeGreaterThanOrEqual(3);
  });

  test('a slow connection is none that is silent, however long it takes', async () => {
    const files = serveModel();
    hub.server.fault = ({ path, at }) => {
      const isSlow = path.includes('cursor=3') || (at === 'storage' && path.includes(weights));
      return isSlow ? { pause: 500 } : null;
    };
    expectWhole(await get('org/name', 'model', { patience: { ...patience, silence: 2 } }), files);
    expect(askedFor(weights)).toHaveLength(2);
    expect(askedFor('/tree/')).toHaveLength(3);
  });

  test('connections that break again and again: what has come is kept, and the next download goes on', async () => {
    const files = serveModel();
    // Each gets a little further, so only the ones in which nothing comes are counted.
    let broken = 0;
    hub.server.fault = ({ path, at }) =>
      at === 'storage' && path.includes(weights) ? { breaksAfter: broken++ < 5 ? 20_000 : 0 } : null;
    const error = await refusal('org/name');
    expect(error).toBeInstanceOf(HubError);
    expect(error.message).toMatch(/3 times in a row/);
    expect(broken).toBe(7);
    expect(isCached()).toBe(false);
    hub.server.fault = () => null;
    hub.server.asked.length = 0;
    expectWhole(await get('org/name'), files);
    expect(askedFor(weights).map(({ range }) => range)).toEqual(['bytes=100000-', 'bytes=100000-']);
    expect(isCached()).toBe(true);
  });

  test('a server that knows no ranges: the file is taken from its beginning', async () => {
    const files = serveModel();
    failAt(weights, null, { breaksAfter: 100_000 }, { ignoresRange: true }, { ignoresRange: true });
    expectWhole(await get('org/name'), files);
  });

  test('another content than the digest says is not kept', async () => {
    const files = serveModel();
    const wrong = Buffer.from(files.get(weights)!);
    wrong[1234] ^= 1;
    for (const body of [wrong, Buffer.concat([files.get(weights)!, Buffer.from('x')])]) {
      failAt(weights, null, { body });
      const error = await refusal('org/name');
      expect(error).toBeInstanceOf(DataError);
      expect(error.message).toMatch(/model-00001.* (has SHA-256 [0-9a-f]{64}, and|more than the 300000)/);
      expect(isCached()).toBe(false);
    }
    vi.stubEnv('HF_HOME', temporaryFolder());
    failAt('/config.json', { body: '{"model_type": "LLAMA"}\n' });
    expect((await refusal('org/name')).message).toMatch(/config.json: .*git's SHA-1/);
    hub.server.fault = () => null;
    expectWhole(await get('org/name'), files);
  });

  test('what was damaged where a download goes on is downloaded anew, and so is a content of another length', async () => {
    const files = serveModel();
    const snapshot = await get('org/name');
    const blob = join(snapshot, readlinkSync(join(snapshot, weights)));
    truncateSync(blob, 1000);
    expect(isCached()).toBe(false);
    writeFileSync(`${blob}.flex.incomplete`, bytesOf('other', 2000));
    expectWhole(await get('org/name'), files);
    expect(statSync(blob).size).toBe(300_000);
  });

  test('a full disk, at every write: one line, and the next download ends what was begun', async () => {
    const files = serveModel({}, 5000);
    await get('org/name');
    const all = disk.writes;
    expect(all).toBeGreaterThan(10);
    for (let failsAt = 1; failsAt <= all; failsAt += long ? 1 : 3) {
      vi.stubEnv('HF_HOME', temporaryFolder());
      Object.assign(disk, { writes: 0, failsAt });
      const error = await refusal('org/name');
      expect(error.message).toMatch(/ENOSPC/);
      disk.failsAt = Number.POSITIVE_INFINITY;
      expect(isCached()).toBe(false);
      expectWhole(await get('org/name'), files);
    }
  });

  test('a disk without room is told before anything is downloaded', async () => {
    serveModel();
    disk.free = 400_000;
    expect((await refusal('org/name')).message).toMatch(/needs 588 KiB, and 391 KiB are free in/);
    expect(askedFor('/resolve/').map(({ path }) => path.split('/').at(-1))).toEqual([
      'model.safetensors.index.json',
    ]);
  });

  test('an abort ends it with its reason, and what has come is kept', async () => {
    const files = serveModel();
    const abort = new AbortController();
    failAt('model-0000', null, null, { stallsAfter: 100_000 }, { stallsAfter: 100_000 });
    const reason = new Error('enough');
    const ended = get('org/name', 'model', {
      signal: abort.signal,
      onProgress: ({ bytes }) => bytes > 200_000 && abort.abort(reason),
    });
    await expect(ended).rejects.toBe(reason);
    expect(isCached()).toBe(false);
    hub.server.fault = () => null;
    hub.server.asked.length = 0;
    expectWhole(await get('org/name'), files);
    expect(askedFor('model-0000').every(({ range }) => range === 'bytes=100000-')).toBe(true);
  });
});

describe('processes', () => {
  /** A process that downloads `org/name`. */
  function begin(): { child: ChildProcess; said: Record<string, unknown>[]; ended: Promise<unknown> } {
    const script = join(import.meta.dirname, 'testing/downloading-process.ts');
    const child = fork(script, [JSON.stringify(named('org/name'))], {
      execArgv: ['--import', 'tsx'],
      env: process.env,
    });
    const said: Record<string, unknown>[] = [];
    child.on('message', (message) => said.push(message as Record<string, unknown>));
    return { child, said, ended: once(child, 'exit') };
  }

  test('two at once download each file once, and both have it', async () => {
    const files = serveModel();
    const both = [begin(), begin()];
    await Promise.all(both.map(({ ended }) => ended));
    for (const { said } of both) expectWhole(said.at(-1)!.path as string, files);
    expect(askedFor('/resolve/')).toHaveLength(needed.length);
  });

  test('one that is killed in the middle leaves nothing that counts, and the next goes on', async () => {
    const files = serveModel();
    failAt('model-0000', null, null, { stallsAfter: 200_000 }, { stallsAfter: 200_000 });
    const { child, said, ended } = begin();
    await vi.waitFor(() => expect(said.some(({ bytes }) => Number(bytes) > 400_000)).toBe(true), 50_000);
    child.kill('SIGKILL');
    await ended;
    expect(isCached()).toBe(false);
    hub.server.fault = () => null;
    hub.server.asked.length = 0;
    expectWhole(await get('org/name'), files);
    expect(askedFor('model-0000').every(({ range }) => range === 'bytes=200000-')).toBe(true);
  });
});

test('whatever fails in whatever order, a snapshot counts as whole only with every byte right', async () => {
  const fault = fc.record(
    {
      breaksAfter: fc.nat(6000),
      status: fc.constantFrom(200, 404, 429, 500, 503),
      body: fc.uint8Array({ maxLength: 6000 }),
      ignoresRange: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  const schedule = fc.array(fc.option(fault, { freq: 2 }), { maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(schedule, async (faults) => {
      vi.stubEnv('HF_HOME', temporaryFolder());
      const files = serveModel({}, 5000);
      const left = [...faults];
      hub.server.fault = () => left.shift() ?? null;
      for (let runs = 0; !isCached(); runs++) {
        expect(runs).toBeLessThan(faults.length + 2);
        await get('org/name').catch((error: Error) => expect(error.message).not.toContain('\n'));
      }
      expectWhole(hubPath('org/name', 'model')!, files);
    }),
    { numRuns: long ? 300 : 12 },
  );
});
