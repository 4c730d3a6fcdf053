import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { describeShared, goldenModels, goldens, shared } from '@flex/fixtures';
import { toFloat32, writeSafetensors } from '@flex/tensor/safetensors';
import { afterAll, describe, expect, it } from 'vitest';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-checkpoint-'));
afterAll(() => rmSync(root, { recursive: true }));
let made = 0;

/** A new model directory with these files: an array becomes an F32 tensor file, anything else JSON. */
function model(files: Record<string, Record<string, number[]> | string>): string {
  const dir = join(root, `model-${made++}`);
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files)) {
    const path = join(dir, name);
    if (typeof content === 'string') writeFileSync(path, content);
    else {
      const tensors = Object.entries(content).map(([key, data]) => {
        return [key, { dtype: 'F32' as const, shape: [data.length], data: Float32Array.from(data) }] as const;
      });
      writeSafetensors(path, new Map(tensors));
    }
  }
  return dir;
}

/** All bytes of a tensor. */
const read = (checkpoint: Checkpoint, name: string) =>
  Buffer.concat([...checkpoint.readChunks(name, 1 << 20)]);
const index = (map: Record<string, unknown>) => JSON.stringify({ metadata: {}, weight_map: map });
const refused = (dir: string, message: string) => {
  expect(() => openCheckpoint(dir)).toThrow(new DataError(message));
};

describe('a checkpoint', () => {
  it('in one file gives names, specs and bytes', () => {
    const checkpoint = openCheckpoint(model({ 'model.safetensors': { b: [1, 2], a: [3] } }));
    expect(checkpoint.names()).toEqual(['a', 'b']);
    expect([checkpoint.has('a'), checkpoint.has('c')]).toEqual([true, false]);
    expect(checkpoint.spec('b')).toMatchObject({ dtype: 'F32', shape: [2], bytes: 8 });
    expect([...toFloat32('F32', read(checkpoint, 'b'))]).toEqual([1, 2]);
    expect([...checkpoint.readChunks('b', 4)]).toHaveLength(2);
    const unknown = new DataError(`${checkpoint.dir}: there is no tensor "c" among the model's 2`);
    expect(() => read(checkpoint, 'c')).toThrow(unknown);
    expect(() => checkpoint.spec('c')).toThrow(unknown);
    checkpoint.close();
    expect(() => read(checkpoint, 'a')).toThrow(/the file was closed/);
  });

  it('in shards is found through its index', async () => {
    const dir = model({
      'model-1.safetensors': { a: [1], unused: [9], c: [3, 4] },
      'model-2.safetensors': { b: [2] },
      'model.safetensors.index.json': index({
        b: 'model-2.safetensors',
        c: 'model-1.safetensors',
        a: 'model-1.safetensors',
      }),
    });
    const checkpoint = openCheckpoint(dir);
    expect(checkpoint.names()).toEqual(['a', 'c', 'b']);
    const streamed: [string, ...number[]][] = [];
    for await (const { name, bytes } of checkpoint.stream(['a', 'b', 'c'], 4)) {
      streamed.push([name, ...toFloat32('F32', bytes)]);
    }
    expect(streamed).toEqual([
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['c', 4],
    ]);
    expect([...toFloat32('F32', read(checkpoint, 'a')), ...toFloat32('F32', read(checkpoint, 'b'))]).toEqual([
      1, 2,
    ]);
    checkpoint.close();
  });

  it('that is not there, or has no weights that can be read, is refused', () => {
    const missing = join(root, 'missing');
    refused(missing, `${missing}: no such directory; give a Hugging Face model directory`);
    const file = join(model({ 'config.json': '{}' }), 'config.json');
    refused(file, `${file}: is a file; give the Hugging Face model directory that holds it`);
    const empty = model({});
    const wanted = 'model.safetensors or model.safetensors.index.json';
    refused(empty, `${empty}: there are no weights; ${wanted} must be there`);
    const pickled = model({ 'pytorch_model.bin': '' });
    const reason = "pytorch_model.bin is PyTorch's pickled format, which is not read";
    refused(pickled, `${pickled}: ${reason}; save it as ${wanted}`);
  });

  it('whose index and shards disagree is refused', () => {
    const shard = { 'model-1.safetensors': { a: [1] } };
    const name = 'model.safetensors.index.json';
    const lost = model({ ...shard, [name]: index({ a: 'model-1.safetensors', b: 'model-2.safetensors' }) });
    const copy = 'which is not there; copy it beside the index';
    refused(lost, `${join(lost, name)}: names the shard model-2.safetensors, ${copy}`);
    const without = model({ ...shard, [name]: index({ b: 'model-1.safetensors' }) });
    const said = 'is said to be in model-1.safetensors, which does not have it';
    refused(without, `${join(without, name)}: tensor "b" ${said}; no shard has it`);
    const elsewhere = model({
      ...shard,
      'model-2.safetensors': { b: [2], c: [3] },
      [name]: index({ b: 'model-1.safetensors', c: 'model-2.safetensors' }),
    });
    refused(elsewhere, `${join(elsewhere, name)}: tensor "b" ${said}; it is in model-2.safetensors`);
  });

  it('whose index is malformed is refused', () => {
    const name = 'model.safetensors.index.json';
    const broken = model({ [name]: '{' });
    expect(() => openCheckpoint(broken)).toThrow(`${join(broken, name)}: is not JSON: `);
    const outside = model({ [name]: index({ 'model.a': '../other.safetensors' }) });
    const rule = 'must be a .safetensors file beside the index';
    refused(
      outside,
      `${join(outside, name)}: "weight_map.model.a" is wrong: ${rule}; it is "../other.safetensors"`,
    );
    const other = model({ [name]: '{"weights": 1}' });
    expect(() => openCheckpoint(other)).toThrow(/"weight_map" is wrong: .*; it is missing$/);
  });
});

const published = [...goldenModels.map((name) => `${goldens}/${name}/model`), 'models/micro'];

for (const path of published) {
  describeShared(path, path, () => {
    it('opens, and all its weights are finite', () => {
      const checkpoint = openCheckpoint(shared(path));
      expect(checkpoint.has('model.embed_tokens.weight')).toBe(true);
      for (const tensor of checkpoint.names()) {
        const { dtype, shape } = checkpoint.spec(tensor);
        const values = toFloat32(dtype, read(checkpoint, tensor));
        expect(values).toHaveLength(shape.reduce((product, axis) => product * axis, 1));
        expect(values.every(Number.isFinite), tensor).toBe(true);
      }
      checkpoint.close();
    });
  });
}
