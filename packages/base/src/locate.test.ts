import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import { expandHome, homePath } from './home-path.ts';
import { hubCache, hubName, lastName, notCachedOf } from './hub-cache.ts';
import { hubNameText, parseHubName } from './hub-name.ts';
import { locate, type PathKind, pathTo } from './locate.ts';
import { mapPaths } from './options.ts';
import { temporaryFolder } from './testing/index.ts';

const commit = 'a'.repeat(40);
const other = `ab${'0'.repeat(38)}`;

let folder: string;
let cache: string;
beforeEach(() => {
  folder = temporaryFolder();
  cache = temporaryFolder();
  vi.stubEnv('HF_HUB_CACHE', cache);
  vi.stubEnv('HF_HUB_OFFLINE', '');
});
afterEach(() => vi.unstubAllEnvs());

/** A file in the cache, and the folders above it. */
function cached(name: string, content = ''): string {
  const file = join(cache, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

/** A repository whose branch main is at `commit`, and which has `other` too. */
function repository(name: string): { snapshot: string; older: string } {
  cached(`${name}/refs/main`, commit);
  for (const each of [commit, other]) {
    for (const file of ['config.json', 'model.safetensors', 'adapter_config.json']) {
      cached(`${name}/snapshots/${each}/${file}`, '{}');
    }
  }
  return { snapshot: join(cache, name, 'snapshots', commit), older: join(cache, name, 'snapshots', other) };
}

/** The ConfigError, of one line, that a look-up throws. */
function refused(text: string, kind: PathKind): ConfigError {
  try {
    locate(text, kind, folder);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).not.toContain('\n');
    return error as ConfigError;
  }
  throw new Error('nothing was refused');
}

const refusal = (text: string, kind: PathKind): string => refused(text, kind).message;

describe('a path', () => {
  test('is relative to the folder, begins at home with ~, or is absolute', () => {
    expect(locate('a/../b', 'output', '/x')).toBe('/x/b');
    expect(locate('runs/x', 'file')).toBe('runs/x');
    expect(locate('/a', 'model', folder)).toBe('/a');
    expect([expandHome('~'), expandHome('~/a')]).toEqual([homedir(), join(homedir(), 'a')]);
    expect(['~a', 'a/~', './~'].map(expandHome)).toEqual(['~a', 'a/~', './~']);
    expect([homedir(), join(homedir(), 'a'), '/', `${homedir()}x`].map(homePath)).toEqual([
      '~',
      '~/a',
      '/',
      `${homedir()}x`,
    ]);
  });

  test('that is not there stays as it is where it cannot be a name of the hub', () => {
    for (const text of ['m', './a/b', '../a/b', 'a/b/c', 'a b/c', '-a/b', 'a--b/c', '/a/b', '~/a/b']) {
      expect(locate(text, 'model', '/x')).toBe(locate(text, 'output', '/x'));
    }
    expect(locate('data/rows.jsonl', 'dataset', '/x')).toBe('/x/data/rows.jsonl');
    expect(locate('data/rows.parquet', 'dataset', '/x')).toBe('/x/data/rows.parquet');
  });

  test('of a run is that of its adapter, unless it is one itself', () => {
    const made = (name: string) => {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), '{}');
    };
    made('run/manifest.json');
    expect(locate('run', 'adapter', folder)).toBe(join(folder, 'run'));
    made('run/adapter/adapter_config.json');
    expect(locate('run', 'adapter', folder)).toBe(join(folder, 'run/adapter'));
    expect(locate('run/adapter', 'adapter', folder)).toBe(join(folder, 'run/adapter'));
    expect(locate('run', 'model', folder)).toBe(join(folder, 'run'));
    made('run/adapter_config.json');
    expect(refusal('run', 'adapter')).toContain(`is an adapter and holds one in ${folder}/run/adapter`);
  });
});

describe("a name of the hub stands for a snapshot in Hugging Face's cache:", () => {
  test('of main, a branch, a commit or the beginning of one', () => {
    const { snapshot, older } = repository('models--org--name');
    cached('models--org--name/refs/v1.0', other);
    expect(locate('org/name', 'model')).toBe(snapshot);
    expect(locate('org/name@main', 'adapter')).toBe(snapshot);
    expect(locate(`org/name@${other}`, 'model')).toBe(older);
    expect(locate('org/name@ab', 'model')).toBe(older);
    expect(locate('org/name@v1.0', 'model')).toBe(older);
    expect(refusal('org/name@a', 'model')).toContain('2 commits begin with a');
    expect(refusal('org/name@v2', 'model')).toMatch(/lacks its revision v2.*flex model fetch org\/name@v2/);
    rmSync(join(cache, 'models--org--name/refs/main'));
    expect(refusal('org/name', 'model')).toMatch(/lacks its revision main and has a{40}, ab0{38}/);
    expect(refusal('org/name@..', 'model')).toContain('lacks its revision ..');
  });

  test('of a data set, and a file in one', () => {
    const { snapshot, older } = repository('datasets--org--rows');
    expect(locate('org/rows', 'dataset')).toBe(snapshot);
    expect(refusal('org/rows/data/a.parquet', 'dataset')).toContain('data/a.parquet is missing');
    cached(`datasets--org--rows/snapshots/${commit}/data/a.parquet`);
    expect(locate('org/rows/data/a.parquet', 'dataset')).toBe(join(snapshot, 'data/a.parquet'));
    cached(`datasets--org--rows/snapshots/${other}/a.jsonl`);
    expect(locate('org/rows@ab/a.jsonl', 'dataset')).toBe(join(older, 'a.jsonl'));
    expect(refusal('org/rows', 'model')).toContain('flex model fetch org/rows gets it');
    expect(refusal('org/none@x/a.jsonl', 'dataset')).toContain('flex data fetch org/none@x/a.jsonl gets it');
    expect(refusal('org/none/a.jsonl', 'dataset')).toContain('flex data fetch org/none/a.jsonl gets it');
  });

  test('of a reference with a slash, written %2F in a data set but for those of its own', () => {
    const { older } = repository('models--org--name');
    for (const reference of ['refs/pr/1', 'feature/x']) {
      cached(`models--org--name/refs/${reference}`, other);
      expect(locate(`org/name@${reference}`, 'model')).toBe(older);
    }
    const command = /lacks its revision refs\/pr\/2.*flex model fetch org\/name@refs\/pr\/2 gets/;
    expect(refusal('org/name@refs/pr/2', 'model')).toMatch(command);
    for (const odd of ['org/name@/x', 'org/name@x//y', 'org/name@x/', 'org/name@x y/z', 'org/name@a@b'])
      expect(parseHubName(odd, 'model')).toBeNull();
    const rows = (text: string) => {
      const name = parseHubName(text, 'dataset')!;
      expect(hubNameText(name)).toBe(text);
      return [name.revision, name.inside];
    };
    expect(rows('org/rows@refs/pr/1/a/b.jsonl')).toEqual(['refs/pr/1', 'a/b.jsonl']);
    expect(rows('org/rows@refs/convert/parquet')).toEqual(['refs/convert/parquet', '']);
    expect(rows('org/rows@feature%2Fx/a.jsonl')).toEqual(['feature/x', 'a.jsonl']);
    expect(rows('org/rows@refs/pr/1x')).toEqual(['refs', 'pr/1x']);
    expect(rows('org/rows@v1/a b@c.jsonl')).toEqual(['v1', 'a b@c.jsonl']);
  });

  test('but a folder here comes first', () => {
    repository('models--org--name');
    mkdirSync(join(folder, 'org/name'), { recursive: true });
    expect(locate('org/name', 'model', folder)).toBe(join(folder, 'org/name'));
  });

  test('and what is not in the cache is told with the command that gets it', () => {
    expect(refusal('org/name@x', 'model')).toBe(
      `org/name@x: is no folder here, and not in Hugging Face's cache (${cache}); ` +
        'flex model fetch org/name@x gets it',
    );
    expect(notCachedOf(refused('org/name@x', 'adapter'))?.wanted).toEqual({
      kind: 'adapter',
      repository: 'org/name',
      revision: 'x',
      inside: '',
    });
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(refusal('org/name', 'adapter')).toContain(
      'without HF_HUB_OFFLINE, flex model fetch --adapter org/name gets it',
    );
  });

  test('but nobody is sent to the hub for what is a path with a slip, as its first folder is here', () => {
    mkdirSync(join(folder, 'org'));
    const error = refused('org/name', 'model');
    expect(error.message).toContain('is no folder here');
    expect(notCachedOf(error)).toBe(null);
    expect(locate('org/rows/a.jsonl', 'dataset', folder)).toBe(join(folder, 'org/rows/a.jsonl'));
    expect(notCachedOf(refused('other/name', 'model'))).not.toBe(null);
  });

  test('and half a download is refused', () => {
    const { snapshot } = repository('models--org--name');
    const part = cached(`models--org--name/blobs/${'0'.repeat(64)}.incomplete`);
    expect(refusal('org/name', 'model')).toBe(
      'org/name: is not whole: the download of 000000000000… has not ended; flex model fetch org/name gets the rest',
    );
    // Of a process that was killed, where another has ended that download.
    const blob = cached(`models--org--name/blobs/${'0'.repeat(64)}`);
    expect(locate('org/name', 'model')).toBe(snapshot);
    rmSync(blob);
    rmSync(part);
    const weights = join(snapshot, 'model.safetensors');
    rmSync(weights);
    expect(refusal('org/name', 'model')).toContain('there are no weights in safetensors');
    writeFileSync(weights, '');
    const link = join(snapshot, 'tokenizer.json');
    symlinkSync('../../blobs/none', link);
    expect(refusal('org/name', 'model')).toContain('tokenizer.json leads to no file');
    rmSync(link);
    const index = 'model.safetensors.index.json';
    cached(`models--org--name/snapshots/${commit}/${index}`, '{"weight_map": {"a": "1.safetensors"}}');
    expect(refusal('org/name', 'model')).toContain(`1.safetensors is missing, which ${index} names`);
    cached(`models--org--name/snapshots/${commit}/1.safetensors`);
    expect(locate('org/name', 'model')).toBe(snapshot);
  });

  test('and what its listing names must be there, in its length', () => {
    const { snapshot } = repository('models--org--name');
    const blob_id = 'a'.repeat(40);
    const list = (change: object) => {
      const files = {
        'README.md': { size: 1, blob_id },
        'config.json': { size: 2, blob_id },
        'model.safetensors': { size: 3, blob_id, lfs_sha256: 'b'.repeat(64), lfs_size: 2 },
        ...change,
      };
      cached(`models--org--name/trees/${commit}.json`, JSON.stringify({ format_version: 1, files }));
    };
    // Some other content's download is none of this name's.
    cached(`models--org--name/blobs/${'0'.repeat(64)}.incomplete`);
    list({});
    expect(locate('org/name', 'model')).toBe(snapshot);
    list({ 'tokenizer.json': { size: 1, blob_id } });
    expect(refusal('org/name', 'model')).toContain('tokenizer.json is missing');
    list({ 'config.json': { size: 5, blob_id } });
    expect(refusal('org/name', 'model')).toContain('config.json has 2 bytes of 5');
    list({ 'adapter_model.safetensors': { size: 5, blob_id } });
    expect(refusal('org/name', 'adapter')).toContain('adapter_model.safetensors is missing');
    // A listing of another form says nothing.
    list({ '../x': { size: 5, blob_id } });
    expect(refusal('org/name', 'model')).toContain('has not ended');
  });

  test('whose name and commit a path in it gives', () => {
    const { snapshot } = repository('models--org--na-me');
    expect(hubName(snapshot)).toBe(`org/na-me@${commit}`);
    expect(locate(hubName(snapshot)!, 'model')).toBe(snapshot);
    expect(hubName(join(cache, `datasets--o--n/snapshots/${commit}/a/b`))).toBe(`o/n@${commit}/a/b`);
    expect([snapshot, `${snapshot}/rows.jsonl`, '/a/b', 'b'].map(lastName)).toEqual([
      'na-me',
      'rows.jsonl',
      'b',
      'b',
    ]);
    for (const path of ['/', cache, join(cache, 'models--o--n/blobs/x'), folder, 'org/name']) {
      expect(hubName(path)).toBe(null);
    }
  });

  test('which lies where the environment says', () => {
    const home = (path: string) => join(homedir(), path);
    expect(hubCache({})).toBe(home('.cache/huggingface/hub'));
    expect(hubCache({ XDG_CACHE_HOME: '/c' })).toBe('/c/huggingface/hub');
    expect(hubCache({ XDG_CACHE_HOME: '/c', HF_HOME: '~/h' })).toBe(home('h/hub'));
    expect(hubCache({ HF_HOME: '/h', HF_HUB_CACHE: '/u' })).toBe('/u');
  });
});

test('the options that a schema marks are found wherever they stand, and no others', () => {
  const schema = z.strictObject({
    a: pathTo('model').describe('a model').nullable().default(null),
    list: z.array(z.union([z.number(), z.strictObject({ at: pathTo('file').optional(), not: z.string() })])),
    map: z.record(z.string(), pathTo('output')).prefault({}),
    pair: z.tuple([z.string(), pathTo('dataset')]),
    any: z.any(),
  });
  const any = { at: 'x' };
  const given = { a: 'x', list: [1, { at: 'x', not: 'x' }], map: { k: 'x' }, pair: ['x', 'x'], any };
  const mapped = mapPaths(schema, given, (text, kind, path) => `${text} ${kind} ${path.join('.')}`);
  expect(mapped).toEqual({
    a: 'x model a',
    list: [1, { at: 'x file list.1.at', not: 'x' }],
    map: { k: 'x output map.k' },
    pair: ['x', 'x dataset pair.1'],
    any,
  });
  expect((mapped as typeof given).any).toBe(any);
  expect(mapPaths(schema, { a: null, list: 3 }, () => 'y')).toEqual({ a: null, list: 3 });
});
