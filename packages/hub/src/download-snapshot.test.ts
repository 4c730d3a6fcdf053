import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, DataError, type HubKind, hubPath } from '@flex/base';
import { describe, expect, test, vi } from 'vitest';
import { HubError } from './hub-error.ts';
import {
  askedFor,
  eachWithHub,
  expectWhole,
  failAt,
  get,
  hub,
  isCached,
  needed,
  refusal,
  serveModel,
  weights,
} from './testing/hub-case.ts';
import { commitOf } from './testing/hub-server.ts';
import { bytesOf, modelFiles } from './testing/model-files.ts';

eachWithHub();

describe('a download', () => {
  test("puts what a model needs into the cache's own layout, and nothing else", async () => {
    const files = serveModel();
    expect(isCached()).toBe(false);
    const progress: string[] = [];
    const snapshot = await get('org/name', 'model', {
      onProgress: ({ bytes, total }) => progress.push(`${bytes}/${total}`),
    });
    const commit = commitOf({ files });
    expect(snapshot).toBe(join(hub.cache, 'models--org--name/snapshots', commit));
    expectWhole(snapshot, files);
    expect(hubPath('org/name', 'model')).toBe(snapshot);
    expect(hubPath(`org/name@${commit.slice(0, 7)}`, 'model')).toBe(snapshot);
    expect(readFileSync(join(hub.cache, 'models--org--name/refs/main'), 'utf8')).toBe(commit);
    expect(readlinkSync(join(snapshot, weights))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(readlinkSync(join(snapshot, 'config.json'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(
      readdirSync(join(hub.cache, 'models--org--name/blobs')).filter((name) => name.includes('.')),
    ).toEqual([]);
    expect(readdirSync(hub.cache)).toEqual(['models--org--name']);
    const total = needed.reduce((sum, path) => sum + files.get(path)!.length, 0);
    expect(progress.at(-1)).toBe(`${total}/${total}`);
    for (const path of ['onnx', '.bin', 'README']) expect(askedFor(`resolve/${commit}/${path}`)).toEqual([]);
  });

  test('that is there asks for no file again, and a new commit for the new ones alone', async () => {
    const files = serveModel();
    const before = await get('org/name');
    hub.server.asked.length = 0;
    expect(await get('org/name')).toBe(before);
    expect(askedFor('/resolve/')).toEqual([]);
    const config = Buffer.from('{"model_type": "qwen2"}');
    hub.server.repositories.set('models/org/name', { files: new Map([...files, ['config.json', config]]) });
    const after = await get('org/name');
    expect(askedFor('/resolve/')).toHaveLength(1);
    expect(readFileSync(join(after, 'config.json')).equals(config)).toBe(true);
    expect(hubPath('org/name', 'model')).toBe(after);
    expect(hubPath(`org/name@${commitOf({ files })}`, 'model')).toBe(before);
  });

  test('of one file of weights leaves the shards, of equal files takes one', async () => {
    const files = serveModel();
    const same = bytesOf('same', 4000);
    files.set('model.safetensors', same).set('tokenizer.model', same);
    expectWhole(await get('org/name'), files, [
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer.model',
    ]);
    expect([...askedFor('model.safetensors'), ...askedFor('tokenizer.model')]).toHaveLength(2); // one redirected
  });

  test('of a commit writes no reference, of an adapter takes its two files, in a run too', async () => {
    const adapter = new Map<string, Uint8Array>([
      ['adapter_config.json', Buffer.from('{}')],
      ['adapter_model.safetensors', bytesOf('adapter', 3000)],
      ['optimizer.pt', bytesOf('optimizer', 3000)],
    ]);
    hub.server.repositories.set('models/org/lora', { files: adapter });
    const commit = commitOf({ files: adapter });
    const snapshot = await get(`org/lora@${commit.slice(0, 8)}`, 'adapter');
    expectWhole(snapshot, adapter, ['adapter_config.json', 'adapter_model.safetensors']);
    expect(readdirSync(join(hub.cache, 'models--org--lora/refs'))).toEqual([]);
    expect(hubPath(`org/lora@${commit}`, 'adapter')).toBe(snapshot);
    const run = new Map([...adapter].map(([path, content]) => [`adapter/${path}`, content]));
    hub.server.repositories.set('models/org/run', { files: run });
    expectWhole(await get('org/run', 'adapter'), run, [
      'adapter/adapter_config.json',
      'adapter/adapter_model.safetensors',
    ]);
  });

  test('of data takes a file, or the rows of a folder', async () => {
    const rows = (text: string) => Buffer.from(`{"text": "${text}"}\n`);
    const files = new Map<string, Uint8Array>([
      ['README.md', rows('readme')],
      ['train.jsonl', rows('train')],
      ['data/a b.parquet', bytesOf('parquet', 2000)],
      ['data/b.jsonl.gz', rows('b')],
      ['data/more/c.jsonl', rows('c')],
    ]);
    hub.server.repositories.set('datasets/org/rows', { files });
    const one = await get('org/rows/train.jsonl', 'dataset');
    expectWhole(one, files, ['train.jsonl']);
    expect(hubPath('org/rows/train.jsonl', 'dataset')).toBe(join(one, 'train.jsonl'));
    expect(isCached('org/rows/data', 'dataset')).toBe(false);
    await get('org/rows/data', 'dataset');
    expectWhole(one, files, ['train.jsonl', 'data/a b.parquet', 'data/b.jsonl.gz']);
    expect(isCached('org/rows/data', 'dataset')).toBe(true);
    expect((await refusal('org/rows/none.jsonl', 'dataset')).message).toContain(
      'has no file or folder of rows of that name; it has train.jsonl, data/a b.parquet, data/b.jsonl.gz',
    );
  });
});

describe('what is asked of the hub', () => {
  test('has the token of the environment or of the file, which no other host gets', async () => {
    serveModel({ token: 'secret' });
    expect((await refusal('org/name')).message).toContain('what is private needs HF_TOKEN');
    vi.stubEnv('HF_TOKEN', 'wrong');
    expect((await refusal('org/name')).message).toContain('does not accept the token');
    vi.stubEnv('HF_TOKEN', '');
    writeFileSync(join(hub.home, 'token'), 'secret\n');
    hub.server.asked.length = 0;
    await get('org/name');
    expect(new Set(hub.server.asked.map(({ at, token }) => `${at} ${token}`))).toEqual(
      new Set(['hub secret', 'storage null']),
    );
    vi.stubEnv('HF_TOKEN', 'a\nb');
    const { message } = await refusal('org/name');
    expect(message).toBe('HF_TOKEN: holds what is no token: one word of ASCII');
  });

  test('is nothing where HF_HUB_OFFLINE says so', async () => {
    serveModel();
    vi.stubEnv('HF_HUB_OFFLINE', 'True');
    expect((await refusal('org/name')).message).toBe('org/name: HF_HUB_OFFLINE forbids downloads');
    expect(hub.server.asked).toEqual([]);
  });

  test('of a reference with a slash asks for it encoded, and keeps it as Hugging Face does', async () => {
    const files = serveModel({ references: ['refs/pr/1', 'refs/pr/2'] });
    for (const reference of ['refs/pr/1', 'refs/pr/2']) {
      const snapshot = await get(`org/name@${reference}`);
      expectWhole(snapshot, files);
      expect(askedFor(`/revision/${encodeURIComponent(reference)}`)).toHaveLength(1);
      const kept = join(hub.cache, 'models--org--name/refs', reference);
      expect(readFileSync(kept, 'utf8')).toBe(commitOf({ files }));
      expect(hubPath(`org/name@${reference}`, 'model')).toBe(snapshot);
    }
    expect(isCached()).toBe(false);
  });

  test.each([
    ['a repository that is not there', 'org/none', /knows nothing public of that name/],
    ['a revision that is not there', 'org/name@v2', /^org\/name@v2: .* has no such revision/],
    ['a revision that none can be', 'org/name@..', /\.\. is no branch, tag or commit/],
    ['a reference that leads elsewhere', 'org/name@refs/../x', /refs\/\.\.\/x is no branch, tag or commit/],
    ['a repository without rows', 'org/name', /has no file or folder of rows at its top/, 'dataset'],
    ['a repository without an adapter', 'org/name', /it has no adapter_config.json/, 'adapter'],
  ] as const)('and refused for %s', async (_, text, words, kind: HubKind = 'model') => {
    serveModel();
    hub.server.repositories.set('datasets/org/name', { files: modelFiles() });
    const error = await refusal(text, kind);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(words);
    expect(isCached(text, kind)).toBe(false);
  });

  test('and refused for a gated repository, and for weights of another form', async () => {
    const files = serveModel({ isGated: true });
    expect((await refusal('org/name')).message).toMatch(/is gated, and a token is needed \(HF_TOKEN\)/);
    vi.stubEnv('HF_TOKEN', 'hf_x');
    expect((await refusal('org/name')).message).toMatch(/is gated, and your token has no access/);
    const pickled = new Map([...files].filter(([path]) => !/safetensors/.test(path)));
    hub.server.repositories.set('models/org/name', { files: pickled });
    expect((await refusal('org/name')).message).toContain('no weights in safetensors');
  });

  test.each([429, 500, 503])('again after %i, a bounded number of times', async (status) => {
    serveModel();
    failAt('/api/', { status }, { status, headers: { 'retry-after': '0' } });
    const notes: string[] = [];
    await get('org/name', 'model', { note: (line) => notes.push(line) });
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(new RegExp(`answered ${status}; trying again in 1 s`));
    hub.server.asked.length = 0;
    hub.server.fault = () => ({ status });
    const error = await refusal('org/name');
    expect(error).toBeInstanceOf(HubError);
    expect(error.message).toMatch(
      new RegExp(`answered ${status}, 3 times in a row; the same command goes on`),
    );
    expect(hub.server.asked).toHaveLength(3);
    hub.server.fault = () => ({ status, headers: { 'retry-after': '3600' } });
    expect((await refusal('org/name')).message).toContain(`answered ${status}, once`);
  });

  test.each([
    ['no JSON', '<html>log in\n</html>', /answers with what is no JSON: <html>log in/],
    ['another form', '{"sha": "../../x"}', /says no commit of org\/name/],
  ])('and an answer of %s is refused', async (_, body, words) => {
    serveModel();
    failAt('/api/', { status: 200, body });
    expect((await refusal('org/name')).message).toMatch(words);
  });

  test.each(['null', '{"error": "no"}', '[null]', '[1]'])('and a listing of %s is refused', async (body) => {
    serveModel();
    failAt('/tree/', { status: 200, body });
    expect((await refusal('org/name')).message).toMatch(/answers about org\/name in another form|lists "/);
  });

  test.each(['[]', '[{"type": "directory", "path": "a", "oid": "", "size": 0}]'])(
    'and a listing of %s without an end is refused',
    async (body) => {
      serveModel();
      const link = `<${hub.server.endpoint}/api/models/org/name/tree/main>; rel="next"`;
      hub.server.fault = ({ path }) =>
        path.includes('/tree/') ? { status: 200, headers: { link }, body } : null;
      expect((await refusal('org/name')).message).toContain('lists more of org/name than there may be');
    },
  );

  test('and another commit than the one that was named is refused', async () => {
    serveModel();
    failAt('/revision/', { status: 200, body: `{"sha": "${'b'.repeat(40)}"}` });
    const named = 'a'.repeat(40);
    expect((await refusal(`org/name@${named}`)).message).toContain(`in place of ${named}`);
    expect(isCached(`org/name@${named}`)).toBe(false);
  });

  test.each([
    ['file:///etc/passwd', /leads to file:\/\/\/etc\/passwd, which is not followed/],
    ['/api/models/org/name/revision/main', /more than 8 times/],
  ])('and a redirect to %s is not followed', async (location, words) => {
    serveModel();
    hub.server.fault = () => ({ status: 302, headers: { location } });
    expect((await refusal('org/name')).message).toMatch(words);
  });
});

describe('a listing', () => {
  test.each(['../config.json', '/etc/passwd', 'a/../../b', 'a\\b', 'a//b', '.', '', 'a/\u0000'])(
    'with the path %j is refused, and nothing is written',
    async (path) => {
      serveModel();
      hub.server.relist = (entries) => [...entries, { ...entries.at(-1), path }];
      const error = await refusal('org/name');
      expect(error).toBeInstanceOf(DataError);
      expect(error.message).toContain(JSON.stringify(path));
      expect(existsSync(hub.cache)).toBe(false);
    },
  );

  test.each([{ oid: '../../x' }, { oid: 'A'.repeat(40) }, { size: -1 }, { lfs: { oid: '..', size: 3 } }])(
    'with %j is refused',
    async (change) => {
      serveModel();
      hub.server.relist = (entries) => entries.map((entry) => ({ ...entry, ...change }));
      expect(await refusal('org/name')).toBeInstanceOf(DataError);
      expect(existsSync(hub.cache)).toBe(false);
    },
  );

  test('an index that leads out, or to what is not there, is refused', async () => {
    const files = serveModel();
    for (const shard of ['../x.safetensors', 'none.safetensors']) {
      files.set('model.safetensors.index.json', Buffer.from(JSON.stringify({ weight_map: { a: shard } })));
      hub.server.repositories.set('models/org/name', { files: new Map(files) });
      expect((await refusal('org/name')).message).toMatch(/index.json|must be/);
      expect(isCached()).toBe(false);
    }
  });
});
