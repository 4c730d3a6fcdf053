import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { toFloat32, writeSafetensors } from '@flex/tensor/safetensors';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';
import { untied } from './weights.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-write-'));
afterAll(() => rmSync(root, { recursive: true }));
let made = 0;
const folder = () => {
  const dir = join(root, String(made++));
  mkdirSync(dir);
  return dir;
};

type Tensors = Readonly<Record<string, readonly number[]>>;
function source(tensors: Tensors): Checkpoint {
  const dir = folder();
  const entries = Object.entries(tensors).map(
    ([name, data]) =>
      [name, { dtype: 'F32' as const, shape: [data.length], data: Float32Array.from(data) }] as const,
  );
  writeSafetensors(join(dir, 'model.safetensors'), new Map(entries));
  return openCheckpoint(dir);
}

function contents(checkpoint: Checkpoint): Record<string, number[]> {
  const names = checkpoint.names().sort();
  const numbers = (name: string) => {
    const { dtype } = checkpoint.spec(name);
    return [...checkpoint.readChunks(name, 8)].flatMap((bytes) => [...toFloat32(dtype, bytes)]);
  };
  return Object.fromEntries(names.map((name) => [name, numbers(name)]));
}

const someTensors = fc.dictionary(
  fc.constantFrom('a.weight', 'b.weight', 'c.weight', 'd.weight'),
  fc.array(fc.integer({ min: -200, max: 200 }), { minLength: 1, maxLength: 9 }),
  { minKeys: 1 },
);

it('is read back as it was, in one file or in shards that are no larger than they may be', () => {
  const law = fc.property(
    someTensors,
    fc.constantFrom('F32', 'F16', 'BF16'),
    fc.integer({ min: 4, max: 100 }),
    (tensors, dtype, maxShardBytes) => {
      const dir = folder();
      const written = writeCheckpoint(dir, source(tensors), { dtype, maxShardBytes });
      const read = openCheckpoint(dir);
      expect(contents(read)).toEqual({ ...tensors });
      const bytes = (name: string) => read.spec(name).bytes;
      const total = read.names().reduce((sum, name) => sum + bytes(name), 0);
      expect(written).toMatchObject({ bytes: total, tensors: read.names().length });
      read.close();
      expect(read.names().length).toBe(Object.keys(tensors).length);
      if (written.files.length === 1) {
        expect(readdirSync(dir)).toEqual(['model.safetensors']);
        return;
      }
      const count = String(written.files.length).padStart(5, '0');
      expect(written.files[0]).toBe(`model-00001-of-${count}.safetensors`);
      const index = JSON.parse(readFileSync(join(dir, 'model.safetensors.index.json'), 'utf8'));
      expect(index.metadata.total_size).toBe(total);
      expect(Object.keys(index.weight_map)).toEqual(Object.keys(tensors).sort());
      for (const file of written.files) {
        const names = Object.keys(index.weight_map).filter((name) => index.weight_map[name] === file);
        const size = names.reduce((sum, name) => sum + tensors[name].length * (dtype === 'F32' ? 4 : 2), 0);
        expect(names.length).toBeGreaterThan(0);
        if (names.length > 1) expect(size).toBeLessThanOrEqual(maxShardBytes);
      }
    },
  );
  fc.assert(law, { numRuns: 40 });
});

it('a number that the dtype cannot hold is refused by its tensor, and leaves no file', () => {
  const dir = folder();
  const refused = new DataError(
    'tensor "b" would hold 70000, and the largest f16 is 65504; take a wider dtype',
  );
  const checkpoint = source({ a: [1], b: [1, 70000] });
  expect(() => writeCheckpoint(dir, checkpoint, { dtype: 'F16' })).toThrow(refused);
  expect(readdirSync(dir)).toEqual([]);
  expect(writeCheckpoint(dir, checkpoint, { dtype: 'BF16' }).bytes).toBe(6);
});

it('of one embedding for two, both are there', () => {
  const [table, head] = ['model.embed_tokens.weight', 'lm_head.weight'];
  for (const name of [table, head]) {
    const both = untied(source({ [name]: [1, 2], other: [3] }));
    expect(contents(both)).toEqual({ [table]: [1, 2], [head]: [1, 2], other: [3] });
    expect([both.has(table), both.has(head), both.has('none')]).toEqual([true, true, false]);
  }
});
