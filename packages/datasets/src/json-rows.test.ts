import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ConfigError, DataError } from '@flex/base';
import { collect, jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readFileRows } from './file-rows.ts';

const readAll = (path: string) => collect(readFileRows(path));

/** A zstd frame of a window of 2 MiB, its blocks raw, or each one byte many times over. */
function zstd(text: string, repeated = 0): Buffer {
  const frame: Buffer[] = [Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0x58)];
  const block = (bytes: Buffer, size: number, kind: number, isLast: boolean) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE((size << 3) | (kind << 1) | Number(isLast));
    frame.push(head.subarray(0, 3), bytes);
  };
  for (let i = 0; i < repeated; i++) block(Buffer.from(' '), 1 << 17, 1, false);
  const bytes = Buffer.from(text);
  for (let at = 0; at <= bytes.length; at += 1000) {
    const piece = bytes.subarray(at, at + 1000);
    block(piece, piece.length, 0, at + 1000 > bytes.length);
  }
  return Buffer.concat(frame);
}

async function valuesOf(content: string | Uint8Array) {
  return (await readAll(temporaryFile('rows.jsonl', content))).map(({ value }) => value);
}

describe('rows of JSON', () => {
  test('are read back from lines and from a list, gzipped, packed by zstd, or neither', async () => {
    const rows = fc.array(fc.jsonValue().map((value) => JSON.parse(JSON.stringify({ value })) as unknown));
    await fc.assert(
      fc.asyncProperty(rows, fc.constantFrom(0, 2), async (values, space) => {
        for (const text of [jsonl(...values), JSON.stringify(values, null, space)]) {
          expect(await valuesOf(text)).toEqual(values);
          expect(await valuesOf(gzipSync(text))).toEqual(values);
          expect(await valuesOf(Buffer.concat([zstd(''), zstd(text)]))).toEqual(values);
        }
      }),
      { numRuns: 20 },
    );
  });

  test('that Python wrote have null for its NaN, Infinity and -Infinity, and their own text beside', async () => {
    const text = String.raw`{"a": [NaN, -Infinity, {"b": Infinity}], "c": "NaN, \"Infinity\" \\", "d": -1}`;
    const [row] = await readAll(temporaryFile('rows.jsonl', `${text}\n`));
    expect(row.value).toEqual({
      a: [null, null, { b: null }],
      c: 'NaN, "Infinity" \\',
      d: -1,
    });
    expect(row.text).toBe(text);
    const texts = fc
      .array(fc.constantFrom('NaN', '-Infinity', '"', '\\', '\n', ' ', ',', 'x'))
      .map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(fc.array(texts), fc.boolean(), async (values, endsSo) => {
        const json = `[${[...values.map((value) => JSON.stringify(value)), ...(endsSo ? ['NaN'] : [])].join(',')}]`;
        expect(await valuesOf(`{"a":${json}}`)).toEqual([{ a: [...values, ...(endsSo ? [null] : [])] }]);
      }),
      { numRuns: 50 },
    );
    for (const wrong of ['{"a":NaNs}', '{"a":--Infinity}', '{"NaN":nan}', '{NaN:1}', '{"a":"NaN}']) {
      await expect(valuesOf(wrong)).rejects.toThrow(DataError);
    }
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

  test('have the line that they begin in, whatever is blank before them', async () => {
    for (const [content, lines] of [
      ['\uFEFF\n \t\r\n\n1\n\n  2', [4, 6]],
      ['\uFEFF\n \n[\n1,\n\n2]', [4, 6]],
      [`${'\n'.repeat(600_000)}[1]`, [600_001]],
      [`${'\n'.repeat(600_000)}1`, [600_001]],
    ] as const) {
      const path = temporaryFile('rows.jsonl', content);
      expect((await readAll(path)).map(({ where }) => where)).toEqual(lines.map((line) => `${path}:${line}`));
    }
  });

  test('are none in an empty file', async () => {
    for (const content of ['', '\n \n', '[]']) expect(await valuesOf(content)).toEqual([]);
  });

  test('can be left unread without keeping the file open', async () => {
    for (const content of [jsonl({ a: 1 }, { a: 2 }), gzipSync(jsonl({ a: 1 }, { a: 2 }))]) {
      const rows = readFileRows(temporaryFile('rows.jsonl', content));
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
    ['torn zstd', zstd('{"a":1}\n'.repeat(300)).subarray(0, 2000), ': is not whole zstd'],
    ['damaged zstd', zstd('{"a":1}\n').fill(0xff, 6), ': is not whole zstd'],
  ])('%s', async (_, content, message) => {
    const path = temporaryFile('rows.jsonl', content);
    const error = await readAll(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message.startsWith(path + message)).toBe(true);
    expect((error as Error).message).not.toContain('\n');
  });

  const mebibyte = 1 << 20;
  test.each<[string, () => Uint8Array, string]>([
    ['blanks', () => gzipSync(' '.repeat(20 * mebibyte)), ':1: more than 16 MiB are blank'],
    ['blanks by zstd', () => zstd('', 20 * 8), ':1: more than 16 MiB are blank'],
    ['empty lines', () => gzipSync('\n'.repeat(20 * mebibyte)), ':17039361: more than 16 MiB are blank'],
    [
      'blanks in a list',
      () => Buffer.from(`[\n1${' '.repeat(20 * mebibyte)}`),
      ':2: more than 16 MiB are blank',
    ],
    [
      'a line without end',
      () => gzipSync(`1\n"${'a'.repeat(40 * mebibyte)}`),
      ':2: a row must not be longer than 32 MiB',
    ],
    [
      'an element without end',
      () => gzipSync(`\n[\n"${'a'.repeat(40 * mebibyte)}`),
      ':3: a row must not be longer',
    ],
    ['lists in lists', () => Buffer.from(`1\n${'['.repeat(1000)}`), ':2: is nested more than 256'],
  ])('more than any honest file has: %s', async (_, content, message) => {
    const path = temporaryFile('rows.jsonl', content());
    await expect(readAll(path)).rejects.toThrow(path + message);
  });

  test('gzip that grows a thousandfold', async () => {
    const path = temporaryFile('rows.jsonl', gzipSync(`${'1'.repeat(mebibyte)}\n`.repeat(70)));
    const lines: string[] = [];
    const read = async () => {
      for await (const { where } of readFileRows(path)) lines.push(where);
    };
    await expect(read()).rejects.toThrow(
      /^.*:6[45]: the packed file grows to more than 67108864 bytes, 100 times/,
    );
    expect(lines).toHaveLength(64);
  });

  test('a pipe, without waiting for who writes to it', async () => {
    const path = join(temporaryFolder(), 'pipe');
    execFileSync('mkfifo', [path]);
    await expect(readAll(path)).rejects.toThrow(`${path}: is no file; name a file`);
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
