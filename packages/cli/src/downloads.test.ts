import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { commitOf, type HubServer, startHubServer } from '@flex/hub/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { describeDownload } from './downloads.ts';
import { flex } from './testing/flex.ts';

const assets = join(import.meta.dirname, '../assets');
const micro = join(assets, 'micro');
const device = ['--device', 'cpu', '--threads', '1'];

let server: HubServer;
let home: string;
beforeEach(async () => {
  server = await startHubServer();
  home = temporaryFolder();
  for (const name of ['HF_HUB_CACHE', 'HF_HUB_OFFLINE', 'HF_TOKEN', 'HF_TOKEN_PATH']) vi.stubEnv(name, '');
  vi.stubEnv('HF_HOME', home);
  vi.stubEnv('HF_ENDPOINT', server.endpoint);
});
afterEach(() => {
  server.close();
  vi.unstubAllEnvs();
});

/** Serves the files of a folder as a repository; gives its commit. */
function serve(key: string, folder: string): string {
  const files = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
  server.repositories.set(key, { files });
  return commitOf({ files });
}

test('a command downloads the model and the data that it names, and then runs; a run keeps their commits', async () => {
  const commit = serve('models/org/micro', micro);
  serve('datasets/org/tasks', join(assets, 'quickstart'));
  const out = join(temporaryFolder(), 'run');
  const config = join(temporaryFolder(), 'run.yaml');
  writeFileSync(
    config,
    'model: org/micro\ndata: {source: org/tasks/tasks.jsonl, split: 1-2, max_length: 72}\n',
  );
  const args = ['train', config, 'train.max_steps=1', 'train.batch_size=1', `out=${out}`, ...device];
  const { code, stderr } = await flex(...args);
  expect(stderr).toContain('downloading org/micro  ');
  expect(stderr).toContain('downloading org/tasks/tasks.jsonl  ');
  expect(code).toBe(0);
  expect(readFileSync(join(out, 'config.yaml'), 'utf8')).toContain(`org/micro@${commit}`);

  serve('models/org/lora', join(out, 'adapter'));
  const generate = (...more: string[]) =>
    flex('generate', '--ids', '1,5', '--max-new-tokens', '3', '--json', ...device, ...more);
  const here = await generate('--model', micro, '--adapter', out);
  expect(here.code, here.stderr).toBe(0);
  server.asked.length = 0;
  const there = await generate(
    '--model',
    `org/micro@${commit.slice(0, 7)}`,
    '--adapter',
    'org/lora',
    '--quiet',
  );
  expect(there).toEqual({ code: 0, stdout: here.stdout, stderr: expect.not.stringContaining('downloading') });
  expect(server.asked.some(({ path }) => path.includes('org/micro'))).toBe(false);
});

test('what the hub refuses is one line, with no second try and nothing left', async () => {
  const { code, stdout, stderr } = await flex(
    'generate',
    '--model',
    'org/none',
    '--ids',
    '1',
    '--json',
    ...device,
  );
  expect(code).toBe(2);
  expect(stderr).toMatch(/^flex: org\/none: http:\S+ knows nothing public of that name; .*HF_TOKEN\n$/);
  expect(JSON.parse(stdout).error.kind).toBe('configuration');
  expect(existsSync(join(home, 'hub'))).toBe(false);
  expect(server.asked).toHaveLength(1);
});

test('a path with a slip asks no hub, and neither does anything where HF_HUB_OFFLINE says so', async () => {
  vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1');
  const slip = await flex('spectrum', '--adapter', `packages/none`);
  expect(slip.code).toBe(2);
  expect(slip.stderr).toMatch(/^flex: packages\/none: is no folder here/);
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  const offline = await flex('spectrum', '--adapter', 'org/none');
  expect(offline.stderr).toContain('without HF_HUB_OFFLINE, flex model fetch --adapter org/none gets it');
});

test('fetch takes what the hub has now, although something is in the cache', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'rows.jsonl'), '{"text": "a"}\n');
  serve('datasets/org/rows', folder);
  const first = JSON.parse((await flex('data', 'fetch', 'org/rows', '--json')).stdout);
  writeFileSync(join(folder, 'rows.jsonl'), '{"text": "b"}\n');
  serve('datasets/org/rows', folder);
  const audit = (name: string) =>
    flex('data', 'audit', `${name}/rows.jsonl:all`, '--against', join(folder, 'rows.jsonl'));
  expect((await audit('org/rows')).code).toBe(0);
  const second = JSON.parse((await flex('data', 'fetch', 'org/rows', '--json')).stdout);
  expect(second).toEqual({
    name: 'org/rows',
    path: expect.stringMatching(/datasets--org--rows\/snapshots\/\w{40}$/),
  });
  expect(second.path).not.toBe(first.path);
  expect((await audit('org/rows')).code).toBe(1);
  expect((await flex('model', 'fetch', './org/rows')).stderr).toContain('is no name of the hub');
  expect((await flex('model', 'fetch', 'org/rows', '--adapter')).code).toBe(2);
});

test('progress is told in bytes, as fast as it is, and how long it takes yet', () => {
  expect(describeDownload('org/name', { bytes: 3.1e9, total: 13.5e9 }, 45e6)).toEqual([
    'downloading org/name',
    '3.1/13.5 GB',
    '45.0 MB/s',
    '3 min 51 s left',
  ]);
  expect(describeDownload('org/name', { bytes: 0, total: 2e6 }, Number.NaN)).toEqual([
    'downloading org/name',
    '0.0/2.0 MB',
  ]);
});
