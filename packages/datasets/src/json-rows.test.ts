import { gzipSync } from 'node:zlib';
import { ConfigError, DataError } from '@flex/base';
import { collect, jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readJsonRows } from './json-rows.ts';

const readAll = (path: string) => collect(readJsonRows(path));

async function valuesOf(content: string | Uint8Array) {
  return (await readAll(temporaryFile('rows.jsonl', content))).map(({ value }) => value);
}

describe('rows of JSON', () => {
  test('are read back from lines and from a list, gzipped or not', async () => {
    const rows = fc.array(fc.jsonValue().map((value) => JSON.parse(JSON.stringify({ value })) as unknown));
    await fc.assert(
      fc.asyncProperty(rows, fc.constantFrom(0, 2), async (values, space) => {
        for (const text of [jsonl(...values), JSON.stringify(values, null, space)]) {
          expect(await valuesOf(text)).toEqual(values);
          expect(await valuesOf(gzipSync(text))).toEqual(values);
        }
      }),
      { numRuns: 20 },
    );
  });

  test('larger than any chunk are read whole', async () => {
    const rows = Array.from({ length: 20 }, (_, i) => ({ i, text: 'é\u2028"\\'.repeat(20_000 + i) }));
    expect(await valuesOf(jsonl(...rows))).toEqual(rows);
    expect(await valuesOf(JSON.stringify(rows))).toEqual(rows);
  });

  test('may have blank lines between, \\r\\n ends, no last end, and a byte order mark', async () => {
    const content = '\uFEFF{"a":1}\r\n\r\n  \n{"a":2}';
    const path = temporaryFile('rows.jsonl', content);
    const rows = await readAll(path);
    expect(rows.map(({ value }) => value)).toEqual([{ a: 1 }, { a: 2 }]);
    expect(rows.map(({ where }) => where)).toEqual([`${path}:1`, `${path}:4`]);
  });

  test('are none in an empty file', async () => {
    for (const content of ['', '\n \n', '[]']) expect(await valuesOf(content)).toEqual([]);
  });

  test('can be left unread without keeping the file open', async () => {
    for (const content of [jsonl({ a: 1 }, { a: 2 }), gzipSync(jsonl({ a: 1 }, { a: 2 }))]) {
      const rows = readJsonRows(temporaryFile('rows.jsonl', content));
      expect((await rows.next()).value?.value).toEqual({ a: 1 });
      expect(await rows.return(undefined)).toEqual({ value: undefined, done: true });
    }
  });
});

describe('what is no file of rows is refused with its place, the path as it was given:', () => {
  const whole = gzipSync(jsonl({ a: 'x'.repeat(10_000) }, { b: Math.random() }));
  test.each<[string, string | Uint8Array, string]>([
    ['a line that is no JSON', '{"a":1}\n{"a":\n', ':2: is not JSON'],
    ['an element that is no JSON', '[{"a":1},\n\n x]', ':3: is not JSON'],
    ['a list with a comma too many', '[1,]', ':1: is not JSON'],
    ['a list that is not closed', '[1, 2', ': is not one whole JSON list'],
    ['text after a list', '[1] 2', ': is not one whole JSON list'],
    ['bytes that are no UTF-8', Uint8Array.of(34, 0xff, 34), ':1: is not UTF-8'],
    ['torn gzip', whole.subarray(0, whole.length - 12), ': is not whole gzip'],
    ['damaged gzip', whole.fill(0, 20, 30), ': is not whole gzip'],
  ])('%s', async (_, content, message) => {
    const path = temporaryFile('rows.jsonl', content);
    const error = await readAll(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message.startsWith(path + message)).toBe(true);
    expect((error as Error).message).not.toContain('\n');
  });

  test('Parquet, no file, and a folder', async () => {
    await expect(readAll('no/such/file.jsonl')).rejects.toThrow(
      new ConfigError('no/such/file.jsonl: no such file'),
    );
    await expect(readAll('a.parquet')).rejects.toThrow('a.parquet: Parquet is not built yet');
    const folder = temporaryFolder();
    await expect(readAll(folder)).rejects.toThrow(`${folder}: is a folder; name a file`);
    await expect(readAll('/dev/null')).rejects.toThrow('/dev/null: is no file; name a file');
  });
});
