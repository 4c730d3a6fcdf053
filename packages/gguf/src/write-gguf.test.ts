import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { gguf } from '@huggingface/gguf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bool, float32, float32s, type GgufValue, int32s, string, strings, uint32 } from './gguf-format.ts';
import { readGguf } from './testing/index.ts';
import { type GgufTensor, writeGguf } from './write-gguf.ts';

const number = fc.float({ noNaN: true, noDefaultInfinity: true });
const value: fc.Arbitrary<GgufValue> = fc.oneof(
  fc.nat().map(uint32),
  number.map(float32),
  fc.boolean().map(bool),
  fc.string({ unit: 'binary' }).map(string),
  fc.array(fc.string({ unit: 'binary' })).map(strings),
  fc.array(fc.integer()).map(int32s),
  fc.array(number).map(float32s),
);
const tensor: fc.Arbitrary<GgufTensor> = fc
  .record({
    name: fc.stringMatching(/^[a-z]{1,9}(\.[a-z]{1,9})?$/),
    type: fc.constantFrom('F32', 'F16', 'BF16', 'Q8_0'),
    rows: fc.integer({ min: 1, max: 5 }),
    columns: fc.constantFrom(32, 64),
  })
  .map(({ name, type, rows, columns }) => ({
    ...{ name, type, shape: [rows, columns] },
    values: () =>
      Array.from({ length: rows }, (_, i) => Float32Array.from({ length: columns }, (_, j) => i - j)),
  }));

test('what is written is read back, by ours and by another reader', async () => {
  const dir = temporaryFolder();
  let files = 0;
  const any = fc.tuple(
    fc.dictionary(fc.stringMatching(/^own\.[a-z_]{1,20}$/), value, { maxKeys: 6 }),
    fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 5 }),
  );
  await fc.assert(
    fc.asyncProperty(any, async ([given, tensors]) => {
      const path = join(dir, `${files++}.gguf`);
      const metadata = new Map([['general.architecture', string('llama')], ...Object.entries(given)]);
      const { bytes } = writeGguf(path, metadata, tensors);
      const own = readGguf(path);
      const plain = Object.fromEntries([...metadata].map(([key, { value }]) => [key, value]));
      expect(own.metadata).toEqual(plain);
      for (const { name, type, shape, values } of tensors) {
        const found = own.tensors.get(name)!;
        expect(found).toMatchObject({ type, shape });
        const wanted = [...values()].flatMap((row) => [...row]);
        const within = type === 'Q8_0' ? 64 / 254 + 0.05 : 0;
        for (const [i, x] of found.values.entries())
          expect(Math.abs(x - wanted[i])).toBeLessThanOrEqual(within);
      }
      const other = await gguf(path, { allowLocalFile: true });
      expect(other.metadata).toMatchObject(plain);
      expect(other.tensorInfos.map(({ name, shape }) => [name, shape.map(Number).reverse()])).toEqual(
        tensors.map(({ name, shape }) => [name, shape]),
      );
      expect(Number(other.tensorDataOffset) % 32).toBe(0);
      const last = other.tensorInfos.at(-1);
      expect(Number(other.tensorDataOffset) + Number(last?.offset ?? 0)).toBeLessThanOrEqual(bytes);
    }),
    { numRuns: 25 },
  );
});

test('a number that a type cannot hold leaves no file, nor half of one', () => {
  const dir = temporaryFolder();
  const path = join(dir, 'model.gguf');
  const beyond = (type: 'F16' | 'Q8_0', x: number) => () =>
    writeGguf(path, new Map(), [
      { name: 'first', type, shape: [1, 32], values: () => [new Float32Array(32)] },
      { name: 'blk.0.attn_q.weight', type, shape: [1, 32], values: () => [new Float32Array(32).fill(x)] },
    ]);
  expect(beyond('F16', 1e6)).toThrow(DataError);
  expect(beyond('F16', 1e6)).toThrow(/blk\.0\.attn_q\.weight/);
  expect(beyond('Q8_0', 1e8)).toThrow(/blk\.0\.attn_q\.weight" holds 100000000/);
  expect(beyond('Q8_0', Number.NaN)).toThrow(/holds NaN/);
  expect(readdirSync(dir)).toEqual([]);
  expect(existsSync(path)).toBe(false);
  beyond('Q8_0', 8e6)();
  expect(readGguf(path).tensors.size).toBe(2);
});
