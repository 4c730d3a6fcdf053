import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError, DataError } from '../errors.ts';
import { collect, jsonl, temporaryFile, temporaryFolder } from '../testing/temporary-folder.ts';
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
    const rows = await readAll(temporaryFile('rows.jsonl', content));
    expect(rows.map(({ value }) => value)).toEqual([{ a: 1 }, { a: 2 }]);
    expect(rows.map(({ where }) => where)).toEqual(['rows.jsonl:1', 'rows.jsonl:4']);
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

describe('what is no file of rows is refused with its place:', () => {
  const whole = gzipSync(jsonl({ a: 'x'.repeat(10_000) }, { b: Math.random() }));
  test.each<[string, string | Uint8Array, string]>([
    ['a line that is no JSON', '{"a":1}\n{"a":\n', 'rows.jsonl:2: is not JSON'],
    ['an element that is no JSON', '[{"a":1},\n\n x]', 'rows.jsonl:3: is not JSON'],
    ['a list with a comma too many', '[1,]', 'rows.jsonl:1: is not JSON'],
    ['a list that is not closed', '[1, 2', 'rows.jsonl: is not one whole JSON list'],
    ['text after a list', '[1] 2', 'rows.jsonl: is not one whole JSON list'],
    ['bytes that are no UTF-8', Uint8Array.of(34, 0xff, 34), 'rows.jsonl:1: is not UTF-8'],
    ['torn gzip', whole.subarray(0, whole.length - 12), 'rows.jsonl: is not whole gzip'],
    ['damaged gzip', whole.fill(0, 20, 30), 'rows.jsonl: is not whole gzip'],
  ])('%s', async (_, content, message) => {
    const error = await valuesOf(content).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toContain('\n');
  });

  test('no file, and a folder', async () => {
    await expect(readAll('no/such/file.jsonl')).rejects.toThrow(
      new ConfigError('no/such/file.jsonl: no such file'),
    );
    const folder = temporaryFolder();
    await expect(readAll(folder)).rejects.toThrow(`${folder}: is a folder; name a file`);
    await expect(readAll('/dev/null')).rejects.toThrow('/dev/null: is no file; name a file');
  });
});
