import { brotliCompressSync, gzipSync } from 'node:zlib';
import { DataError } from '@flex/base';
import { collect, temporaryFile } from '@flex/base/testing';
import fc from 'fast-check';
import type { SchemaElement } from 'hyparquet';
import { type ColumnSource, type ParquetWriteOptions, parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, test } from 'vitest';
import { readFileRows } from './file-rows.ts';
import { parquetRows } from './parquet-rows.ts';
import { readCompletions } from './read-completions.ts';

type Columns = Readonly<Record<string, readonly unknown[]>>;

/** The columns of a schema: a text, a whole number, or a list of one of them or of records. */
type Type = 'text' | 'integer' | 'bytes' | readonly [Type | Readonly<Record<string, Type>>];

function schemaOf(name: string, type: Type | Readonly<Record<string, Type>>): SchemaElement[] {
  const repetition_type = 'OPTIONAL';
  if (type === 'text') return [{ name, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type }];
  if (type === 'bytes') return [{ name, type: 'BYTE_ARRAY', repetition_type }];
  if (type === 'integer') return [{ name, type: 'INT64', repetition_type }];
  if (Array.isArray(type)) {
    const list: SchemaElement = { name: 'list', repetition_type: 'REPEATED', num_children: 1 };
    return [
      { name, converted_type: 'LIST', repetition_type, num_children: 1 },
      list,
      ...schemaOf('element', type[0]),
    ];
  }
  const members = Object.entries(type);
  const inner = members.flatMap(([key, member]) => schemaOf(key, member as Type));
  return [{ name, repetition_type, num_children: members.length }, ...inner];
}

const compressors = {
  GZIP: (x: Uint8Array) => gzipSync(x),
  BROTLI: (x: Uint8Array) => brotliCompressSync(x),
};

/** A Parquet file of columns of these types. */
function parquet(
  types: Readonly<Record<string, Type>>,
  columns: Columns,
  { encoding, ...options }: Partial<ParquetWriteOptions> & Pick<ColumnSource, 'encoding'> = {},
): Uint8Array {
  const names = Object.keys(types);
  return new Uint8Array(
    parquetWriteBuffer({
      schema: [
        { name: 'schema', num_children: names.length },
        ...names.flatMap((name) => schemaOf(name, types[name])),
      ],
      columnData: names.map((name) => ({
        name,
        data: columns[name] as unknown[],
        statistics: false,
        encoding,
      })),
      compressors,
      ...options,
    }),
  );
}

const write = (bytes: Uint8Array) => temporaryFile('rows.parquet', bytes);
const valuesOf = async (path: string) => (await collect(readFileRows(path))).map(({ value }) => value);

describe('rows of Parquet', () => {
  const text = fc.option(fc.string({ unit: 'grapheme' }));
  const row = fc.record({
    name: text,
    count: fc.option(fc.maxSafeInteger()),
    tests: fc.option(fc.array(fc.string())),
    turns: fc.array(fc.record({ role: fc.constantFrom('user', 'assistant'), content: fc.string() })),
  });

  test('are read as JSON has them, whatever their codec and groups', async () => {
    const codec = fc.constantFrom('UNCOMPRESSED', 'SNAPPY', 'GZIP', 'BROTLI');
    const rows = fc.array(row, { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(rows, codec, fc.integer({ min: 1, max: 12 }), async (all, codec, rowGroupSize) => {
        const column = (key: keyof (typeof all)[0]) => all.map((one) => one[key]);
        const types = {
          name: 'text',
          count: 'integer',
          tests: ['text'],
          turns: [{ role: 'text', content: 'text' }],
        } as const;
        const columns = {
          name: column('name'),
          count: all.map(({ count }) => (count === null ? null : BigInt(count))),
          tests: column('tests'),
          turns: column('turns'),
        };
        const path = write(parquet(types, columns, { codec, rowGroupSize }));
        const found = await collect(readFileRows(path));
        expect(found.map(({ value }) => value)).toEqual(all);
        expect(found.map(({ where }) => where)).toEqual(all.map((_, i) => `${path}:${i + 1}`));
      }),
      { numRuns: 15 },
    );
  });

  test('have the digits of whole numbers that JSON would round', async () => {
    const bytes = parquet({ id: 'integer' }, { id: [1n, -(2n ** 53n), 2n ** 53n - 1n] });
    expect(await valuesOf(write(bytes))).toEqual([
      { id: 1 },
      { id: '-9007199254740992' },
      { id: 9007199254740991 },
    ]);
  });

  test('are told apart by their columns, and trained on like others', async () => {
    const mbpp = parquet(
      { task_id: 'integer', text: 'text', code: 'text', test_list: ['text'] },
      { task_id: [11n, 601n], text: ['a', 'b'], code: ['x', 'y'], test_list: [['assert 1'], ['assert 2']] },
    );
    const path = write(mbpp);
    const found = await readCompletions(path, { split: 'train' });
    expect(found).toMatchObject({ format: 'mbpp', split: 'train' });
    expect(found.completions).toEqual([
      { where: `${path}:2`, prompt: '"""\nb\nassert 2\n"""\n', completion: 'y' },
    ]);
    const ids = parquet(
      { input_ids: ['integer'], labels: ['integer'] },
      {
        input_ids: [[1n, 2n]],
        labels: [null],
      },
    );
    expect((await readCompletions(write(ids))).completions).toMatchObject([
      { inputIds: [1, 2], labels: null },
    ]);
  });
});

describe('a Parquet file is refused with one line that says where:', () => {
  const message = async (bytes: Uint8Array) => {
    const path = write(bytes);
    const error = await valuesOf(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message.replace(path, 'rows.parquet');
  };
  const whole = parquet({ text: 'text' }, { text: Array.from({ length: 50 }, (_, i) => `line ${i}`) });

  test('one that is torn anywhere', async () => {
    for (let length = 4; length < whole.length; length += Math.ceil(whole.length / 12)) {
      expect(await message(whole.subarray(0, length))).toMatch(/^rows.parquet: is not whole Parquet \(/);
    }
  });

  test('one in which any byte is another, if it is not read as it was but for that', async () => {
    for (let at = 5; at < whole.length; at += Math.ceil(whole.length / 15)) {
      const path = write(whole.map((byte, i) => (i === at ? 255 - byte : byte)));
      const error = await collect(parquetRows(path, { seconds: 1 })).catch((thrown: unknown) => thrown);
      if (error instanceof Error) {
        expect(error).toBeInstanceOf(DataError);
        expect(error.message).toMatch(/^.*: is not whole Parquet \(.*\); fetch it again$/);
      } else expect(error).toHaveLength(50);
    }
  });

  test('one whose texts are not UTF-8', async () => {
    const bytes = parquet({ text: 'bytes' }, { text: [Uint8Array.of(0xff, 0xfe)] });
    expect(await message(bytes)).toMatch(/^rows.parquet: is not whole Parquet \(.*not valid/);
  });

  test('one with a row of more than 32 MiB', async () => {
    const bytes = parquet({ text: 'text' }, { text: ['a', 'ab'.repeat(17 << 20)] }, { encoding: 'PLAIN' });
    expect(await message(bytes)).toBe('rows.parquet:2: a row must not be longer than 32 MiB');
  });

  test('one that grows a thousandfold', async () => {
    const bytes = parquet(
      { text: 'text' },
      { text: Array.from({ length: 5 }, (_, i) => `${i}`.repeat(14 << 20)) },
      { codec: 'BROTLI', encoding: 'PLAIN', compressors: { BROTLI: () => Uint8Array.of(0) } },
    );
    expect(bytes.length).toBeLessThan(10_000);
    expect(await message(bytes)).toBe(
      'rows.parquet: grows to more than 67108864 bytes; write it with less compression',
    );
  });
});
