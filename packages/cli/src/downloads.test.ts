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

test('a model that the cache lacks is inspected by its headers, and nothing is kept', async () => {
  const commit = serve('models/org/micro', micro);
  const temporary = temporaryFolder();
  vi.stubEnv('TMPDIR', temporary);
  const inspect = (name: string, ...more: string[]) => flex('model', 'inspect', name, ...device, ...more);
  const here = await inspect(micro, '--json');
  const { dir, download, ...facts } = JSON.parse(here.stdout);
  expect({ dir, download }).toEqual({ dir: micro, download: null });
  const there = await inspect('org/micro', '--json');
  const { dir: noDir, download: whole, ...same } = JSON.parse(there.stdout);
  expect(there.code, there.stderr).toBe(0);
  expect(same).toEqual(facts);
  expect(noDir).toBeNull();
  expect(whole).toMatchObject({ name: 'org/micro', commit });
  expect(whole.bytes).toBeGreaterThan(facts.files[0].bytes);
  const { stdout } = await inspect('org/micro');
  expect(stdout).toContain(`org/micro@${commit}`);
  expect(stdout).toMatch(
    /only headers were read, at the hub; all of it takes .* in \d+ files: .*flex model fetch org\/micro/,
  );
  expect(server.asked.every(({ sent }) => sent <= 200_000)).toBe(true);
  expect(readdirSync(home)).toEqual([]);

  // What is wrong with it is told by its name, and the next command that needs it takes all of it.
  server.fault = ({ path }) => (path.includes('safetensors') ? { body: Buffer.alloc(200_000, 2) } : null);
  const wrong = await inspect('org/micro', '--json');
  expect(wrong.code).toBe(2);
  expect(JSON.parse(wrong.stdout).error.message).toMatch(
    /^org\/micro: model\.safetensors: says that its header has/,
  );
  server.fault = () => null;
  const files = new Map(readdirSync(micro).map((name) => [name, readFileSync(join(micro, name))]));
  const config = JSON.parse(files.get('config.json')!.toString());
  files.set('config.json', Buffer.from(JSON.stringify({ ...config, hidden_size: 8 })));
  server.repositories.set('models/org/other', { files });
  const unfit = await inspect('org/other', '--json');
  expect(unfit.code).toBe(2);
  expect(JSON.parse(unfit.stdout).error.message).toMatch(/^org\/other/);
  expect(readdirSync(temporary)).toEqual([]);
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  expect(await inspect('org/micro')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('HF_HUB_OFFLINE'),
  });
});
