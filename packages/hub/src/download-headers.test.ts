import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, DataError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import { downloadHeaders, type HeadersAtHub } from './download-headers.ts';
import { HubError } from './hub-error.ts';
import { askedFor, eachWithHub, failAt, hub, named, patience } from './testing/hub-case.ts';
import { bytesOf, modelFiles } from './testing/model-files.ts';

const [first, second] = [1, 2].map((n) => `model-0000${n}-of-00002.safetensors`);

/** A file of so many bytes whose header says that it has `headerBytes`. */
function weightFile(headerBytes: number | bigint, bytes: number): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerBytes));
  return Buffer.concat([length, bytesOf(`header ${bytes}`, bytes - 8)]);
}

/** Serves a model of two shards, the second with a header that a first look does not see whole. */
function serve(shards: readonly Uint8Array[] = [weightFile(500, 1_000_000), weightFile(400_000, 600_000)]) {
  const files = new Map<string, Uint8Array>([...modelFiles(), [first, shards[0]], [second, shards[1]]]);
  hub.server.repositories.set('models/org/name', { files, references: ['refs/pr/1'] });
  return files;
}

let folder: string;
async function headers(text = 'org/name'): Promise<HeadersAtHub> {
  folder = temporaryFolder();
  return downloadHeaders(named(text), folder, { patience });
}

/** The error that it ends with, whose message is one line; the cache is untouched. */
async function refusal(text?: string): Promise<Error> {
  const error = await headers(text).then(
    () => null,
    (thrown: unknown) => thrown as Error,
  );
  expect(error).toBeInstanceOf(Error);
  expect(error!.message).not.toContain('\n');
  expect(readdirSync(hub.home)).toEqual([]);
  return error!;
}

/** That the folder has the headers of the shards, and the other files that tell what the model is. */
function expectHeaders(files: ReadonlyMap<string, Uint8Array>): void {
  expect(readdirSync(folder).sort()).toEqual([
    ...['config.json', first, second],
    ...['model.safetensors.index.json', 'tokenizer.json'],
  ]);
  for (const name of readdirSync(folder)) {
    const [got, whole] = [readFileSync(join(folder, name)), Buffer.from(files.get(name)!)];
    expect(got.length).toBe(whole.length);
    const known = name.endsWith('.safetensors') ? 8 + Number(whole.readBigUInt64LE()) : whole.length;
    expect(got.subarray(0, known).equals(whole.subarray(0, known))).toBe(true);
    expect(got.subarray(known).every((byte) => byte === 0)).toBe(true);
  }
}

eachWithHub();

describe('the headers of a model', () => {
  test('are all that is asked for, and the cache is not touched', async () => {
    const files = serve();
    const { commit, ...whole } = await headers();
    expectHeaders(files);
    const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    expect(whole).toEqual({ files: 5, bytes });
    expect(commit).toMatch(/^[0-9a-f]{40}$/);
    const ranges = (file: string) =>
      askedFor(file).flatMap(({ at, range }) => (at === 'storage' ? [range] : []));
    expect(ranges(first)).toEqual(['bytes=0-99999']);
    expect(ranges(second)).toEqual(['bytes=0-99999', 'bytes=100000-400007']);
    for (const file of ['onnx', 'pytorch_model']) expect(askedFor(file)).toEqual([]);
    expect(readdirSync(hub.home)).toEqual([]);
    const room = statSync(join(folder, first)).blocks * 512;
    expect(room).toBeLessThan(300_000);
  });

  test('a server that knows no ranges sends all, of which no more is read than is needed', async () => {
    const files = serve();
    hub.server.fault = ({ path }) =>
      path.includes('.safetensors') ? { ignoresRange: true, stallsAfter: 450_000 } : null;
    await headers();
    expectHeaders(files);
  });

  test('a connection that breaks is met with the rest, and in the end with a line', async () => {
    const files = serve();
    failAt(second, null, { breaksAfter: 50_000 }, null, null, null, { breaksAfter: 1000 });
    await headers();
    expectHeaders(files);
    const ranges = askedFor(second).flatMap(({ at, range }) => (at === 'storage' ? [range] : []));
    expect(ranges.slice(0, 2)).toEqual(['bytes=0-99999', 'bytes=50000-99999']);
    hub.server.fault = ({ path, at }) =>
      at === 'storage' && path.includes(second) ? { breaksAfter: 0 } : null;
    const error = await refusal();
    expect(error).toBeInstanceOf(HubError);
    expect(error.message).toMatch(/the connection .* broke .*, 3 times in a row/);
  });

  test('another part than was asked for is none', async () => {
    serve();
    hub.server.fault = ({ path, at }) =>
      at === 'storage' && path.includes(first)
        ? { status: 206, headers: { 'content-range': 'bytes 5-9/10' }, body: 'wrong' }
        : null;
    expect((await refusal()).message).toMatch(/00001.*another part of it than was asked for/);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ['longer than the file', weightFile(2000, 1900), /00001.*header has 2000 bytes; the file has 1900/],
    ['huge', weightFile(2n ** 64n - 1n, 2000), /00001.*header has 18446744073709551615 bytes/],
    ['beyond the format', weightFile(100_000_001, 2000), /00001.*header has 100000001 bytes/],
    [
      'less than a length',
      Buffer.from('short'),
      /00001.*has 5 bytes, and the length of a header alone has 8/,
    ],
  ])('a header that is %s is refused before more is asked', async (_, shard, message) => {
    serve([shard, weightFile(10, 2000)]);
    const error = await refusal();
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(message);
    expect(askedFor(first).filter(({ range }) => range !== null).length).toBeLessThanOrEqual(2);
    expect(askedFor(second)).toEqual([]);
  });

  test('what the hub refuses: no such name or revision, no access, no weights, another config than it lists', async () => {
    serve();
    expect((await refusal('org/other')).message).toMatch(/knows nothing public of that name/);
    expect((await refusal('org/name@v9')).message).toMatch(/has no such revision/);
    failAt(second, { status: 404, headers: { 'x-error-code': 'EntryNotFound' } });
    expect((await refusal()).message).toMatch(/has no such file/);
    failAt('/config.json', { body: '{"model_type": "LLAMA"}\n' });
    expect(await refusal()).toBeInstanceOf(DataError);
    hub.server.fault = () => null;
    hub.server.repositories.set('models/org/name', { files: new Map([['config.json', Buffer.from('{}')]]) });
    const error = await refusal();
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(/no weights in safetensors/);
  });

  test('a reference with a slash', async () => {
    const files = serve();
    await headers('org/name@refs/pr/1');
    expectHeaders(files);
    expect(askedFor('/revision/refs%2Fpr%2F1')).toHaveLength(1);
  });
});
