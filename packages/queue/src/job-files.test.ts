import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { digestAll } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { checkpointOf, filesIn, isSeal, pieceBytes } from './folder-files.ts';
import { type JobFiles, jobFiles, type Lease, type Listing } from './job-files.ts';
import { receiver } from './receive-files.ts';
import { startRedis, withoutRedis } from './testing/index.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';
const places = ['runs/a/seed-0', 'logs/a.log'];

/** A folder with files of these contents. */
function folderOf(files: Readonly<Record<string, string | Buffer>>, folder = temporaryFolder()): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const contentsOf = (folder: string) =>
  Object.fromEntries(
    digestAll(folder).map(({ path, sha256 }) => [path.slice(folder.length + 1), sha256] as const),
  );

async function connect(): Promise<Redis> {
  const client = new Redis((await startRedis()).url);
  onTestFinished(() => client.disconnect());
  return client;
}

const name = fc.constantFrom(
  'metrics.jsonl',
  'summary.json',
  'adapter/x',
  'checkpoints/step-3/a',
  'checkpoints/step-12/b/c',
);
const content = fc.oneof(
  fc.string().map((text) => Buffer.from(text)),
  fc.integer({ min: 1, max: 2 }).map((n) => Buffer.alloc(n * pieceBytes - (n % 2), n)),
);
const trees = fc
  .dictionary(name, content)
  .map((files) =>
    Object.fromEntries(Object.entries(files).map(([file, bytes]) => [`runs/a/seed-0/${file}`, bytes])),
  );

test.skipIf(withoutRedis)('a folder has what another one has, whatever either had before', async () => {
  const client = await connect();
  let times = 0;
  await fc.assert(
    fc.asyncProperty(trees, trees, trees, async (first, second, before) => {
      const job = `job-${times++}`;
      const from = folderOf({ ...first, 'logs/a.log': 'x' });
      const to = folderOf(before);
      const stranger = folderOf({ 'runs/a/seed-1/metrics.jsonl': 'mine' }, to);
      const source = jobFiles(client, job);
      const receive = receiver(jobFiles(client, job), to, { places });
      for (const files of [first, second]) {
        rmSync(join(from, 'runs'), { recursive: true, force: true });
        folderOf(files, from);
        expect(await source.publish(from, places, null)).toBe(true);
        expect(await receive()).toBe(true);
        const { 'runs/a/seed-1/metrics.jsonl': other, ...here } = contentsOf(stranger);
        expect(here).toEqual(contentsOf(from));
        expect(other).toBeDefined();
      }
      const { files } = (await source.listing())!;
      // What no file has any more is kept no longer.
      expect(await client.hlen(`flex:files:${job}`)).toBe(
        1 + new Set(files.flatMap(({ pieces }) => pieces)).size,
      );
    }),
    { numRuns: isLong ? 50 : 3 },
  );
});

test.skipIf(withoutRedis)('a file that grows sends its last piece alone', async () => {
  const client = await connect();
  const folder = folderOf({ 'runs/a/seed-0/metrics.jsonl': Buffer.alloc(3 * pieceBytes, 1) });
  const files = jobFiles(client, 'job');
  await files.publish(folder, places, null);
  folderOf(
    { 'runs/a/seed-0/metrics.jsonl': Buffer.concat([Buffer.alloc(3 * pieceBytes, 1), Buffer.from('x')]) },
    folder,
  );
  const before = Number(/cmdstat_hset:calls=(\d+)/.exec(await client.info('commandstats'))![1]);
  await files.publish(folder, places, null);
  // That piece, and the listing.
  expect(await client.info('commandstats')).toContain(`cmdstat_hset:calls=${before + 2},`);
});

test.skipIf(withoutRedis)('who has no lease any more changes nothing', async () => {
  const client = await connect();
  const files = jobFiles(client, 'job');
  const lease: Lease = { key: 'lock', token: 'mine' };
  const [mine, other] = ['1', '2'].map((text) => folderOf({ 'logs/a.log': text }));
  expect(await files.publish(mine, places, lease)).toBe(false);
  expect(await files.listing()).toBe(null);
  await client.set('lock', 'mine');
  expect(await files.publish(mine, places, lease)).toBe(true);
  await client.set('lock', "another's");
  const stored = await client.hgetall('flex:files:job');
  expect(await files.publish(other, places, lease)).toBe(false);
  expect(await client.hgetall('flex:files:job')).toEqual(stored);
});

test.skipIf(withoutRedis)('a piece that is another one than its digest says arrives nowhere', async () => {
  const client = await connect();
  const files = jobFiles(client, 'job');
  await files.publish(folderOf({ 'logs/a.log': 'right' }), places, null);
  const [{ pieces, ...file }] = (await files.listing())!.files;
  await client.hset('flex:files:job', pieces[0], 'wrong');
  const to = temporaryFolder();
  await expect(receiver(files, to, { places })()).rejects.toThrow(/is damaged/);
  await client.hset('flex:files:job', pieces[0], 'right');
  const lie: Listing = { files: [{ ...file, pieces: [...pieces, ...pieces] }] };
  await client.hset('flex:files:job', 'listing', JSON.stringify(lie));
  await expect(receiver(files, to, { places })()).rejects.toThrow(/another digest/);
  await client.hset('flex:files:job', 'listing', '{"files":[{"path":1}]}');
  await expect(receiver(files, to, { places })()).rejects.toThrow(/no listing of flex/);
  expect(filesIn(to, places)).toEqual([]);
});

/** Files of a listing in memory, of which the piece after so many fails as a process that is killed does. */
function inMemory(files: Readonly<Record<string, string>>, fails = Number.POSITIVE_INFINITY): JobFiles {
  const listed = Object.entries(files).map(([path, text]) => ({ path, text }));
  const folder = folderOf(files);
  const digests = new Map(Object.keys(files).map((path) => [path, digestAll(join(folder, path))[0].sha256]));
  let left = fails;
  return {
    listing: async () => ({
      files: listed.map(({ path, text }) => ({
        ...{ path, bytes: text.length, sha256: digests.get(path)! },
        pieces: [digests.get(path)!],
      })),
    }),
    piece: async (digest) => {
      if (left-- === 0) throw new Error('killed');
      return Buffer.from(listed.find(({ path }) => digests.get(path) === digest)!.text);
    },
    publish: () => Promise.reject(new Error('not here')),
    remove: () => Promise.reject(new Error('not here')),
  };
}

test('what is killed at any moment leaves a run that goes on: whole checkpoints, and no end that is not one', async () => {
  const run = (files: Record<string, string>) =>
    Object.fromEntries(Object.entries(files).map(([file, text]) => [`runs/a/seed-0/${file}`, text]));
  const before = run({
    'metrics.jsonl': '1',
    'checkpoints/step-1/a': '1',
    'checkpoints/step-1/b': '1b',
    'summary.json': 'interrupted',
  });
  const after = run({
    ...{ 'adapter/x': 'x', 'metrics.jsonl': '12', 'summary.json': 'done' },
    ...{ 'checkpoints/step-2/a': '2', 'checkpoints/step-2/b': '2b', 'checkpoints/step-2/c': '' },
  });
  // What a process before has left half-written goes too.
  const leftover = run({ 'checkpoints/.step-9.partial/a': '', 'adapter/.x.7.partial': '' });
  const seen = new Set<string>();
  for (let fails = 0; ; fails++) {
    const to = folderOf({ ...before, ...leftover });
    const ended = await receiver(inMemory(after, fails), to, { places })().catch(({ message }) => message);
    const read = (path: string) => (existsSync(join(to, path)) ? readFileSync(join(to, path), 'utf8') : null);
    const checkpoints = filesIn(to, places).filter(checkpointOf);
    const whole = ['1', '2'].map((n) =>
      Object.keys(n === '1' ? before : after).filter((path) => path.includes(`step-${n}/`)),
    );
    for (const files of whole) {
      const here = checkpoints.filter((path) => files.includes(path));
      expect([0, files.length]).toContain(here.length);
    }
    expect(checkpoints.length).toBeGreaterThan(0);
    const end = read('runs/a/seed-0/summary.json');
    seen.add(`${end} ${checkpoints.length}`);
    // The logs are as long as the checkpoints.
    if (checkpoints.some((path) => path.includes('step-2')))
      expect(read('runs/a/seed-0/metrics.jsonl')).toBe('12');
    if (end === 'done') expect(filesIn(to, places).sort()).toEqual(Object.keys(after).sort());
    expect([null, 'done']).toContain(end);
    if (ended === true) break;
    expect(ended).toBe('killed');
    expect(await receiver(inMemory(after), to, { places })()).toBe(true);
    expect(contentsOf(to)).toEqual(contentsOf(folderOf(after)));
  }
  expect([...seen].sort()).toEqual(['done 3', 'null 2', 'null 3']);
});

test('what lies elsewhere, or behind a link, is never written', async () => {
  const outside = temporaryFolder();
  const step = fc.constantFrom('..', '.', '', 'runs', 'a', 'seed-0', 'logs', 'a\\b', 'x\0', 'a.log', 'b');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      const path = steps.join('/');
      const to = join(temporaryFolder(), 'study');
      const listing = { files: [{ path, bytes: 0, sha256: '0'.repeat(64), pieces: [] }] };
      const files = { ...inMemory({}), listing: async () => listing };
      const error = await receiver(files, to, { places })().catch(({ message }) => message);
      expect(error).toMatch(/is none of its places|another digest|cannot be written/);
      expect(existsSync(to) ? filesIn(to, readdirSync(to)) : []).toEqual([]);
      if (!/^(runs\/a\/seed-0\/.|logs\/a\.log)/.test(path)) expect(error).toContain('none of its places');
    }),
  );
  const to = folderOf({ 'runs/a/x': '' });
  symlinkSync(outside, join(to, 'runs/a/seed-0'));
  const files = inMemory({ 'runs/a/seed-0/metrics.jsonl': 'x' });
  await expect(receiver(files, to, { places })()).rejects.toThrow(/is a link/);
  expect(readdirSync(outside)).toEqual([]);
});

test('logs come after checkpoints; locks, links and what is half-written are left', () => {
  const run = 'runs/a/seed-0';
  const folder = folderOf({
    ...{ [`${run}/a.jsonl`]: '', [`${run}/.lock`]: '', [`${run}/.x.12.partial`]: '' },
    ...{ [`${run}/checkpoints/step-1/z`]: '', [`${run}/checkpoints/.step-2.partial/z`]: '' },
  });
  symlinkSync(join(folder, run, 'a.jsonl'), join(folder, run, 'link'));
  expect(filesIn(folder, places)).toEqual([`${run}/checkpoints/step-1/z`, `${run}/a.jsonl`]);
  expect([`${run}/summary.json`, 'e/results.json', `${run}/a.json`].map(isSeal)).toEqual([true, true, false]);
});
