import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeviceError, float16BitsToFloat32, openReference } from '@flex/tensor';
import { toFloat16, toFloat32 } from '@flex/tensor/safetensors';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';
import type { LoadProgress } from './load-weights.ts';
import { type LoadOptions, loadModel } from './model.ts';
import { writeTinyModel } from './testing/tiny-model.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-load-'));
afterAll(() => rmSync(root, { recursive: true }));
const dir = join(root, 'tiny');
writeTinyModel(dir);

/** A checkpoint whose stream has pieces of so many bytes, whatever is asked for; `before` may throw. */
function inPieces(checkpoint: Checkpoint, pieceBytes: number, before: (i: number) => void): Checkpoint {
  return {
    ...checkpoint,
    async *stream(names) {
      let i = 0;
      for await (const piece of checkpoint.stream(names, pieceBytes)) {
        before(i++);
        yield piece;
      }
    },
  };
}

const pieceBytes = 64;
const names = openCheckpoint(dir).names();
const pieces = names.reduce((n, name) => n + Math.ceil(openCheckpoint(dir).spec(name).bytes / pieceBytes), 0);

describe('loading', () => {
  const backend = openReference();
  beforeEach(() => expect(backend.stats.liveBytes).toBe(0));

  test('gives the numbers of the files, from every dtype, from one file and from shards', async () => {
    for (const stored of ['F32', 'F16', 'BF16'] as const) {
      for (const maxShardBytes of [5e9, 500]) {
        const copy = join(root, `${stored} ${maxShardBytes}`);
        mkdirSync(copy);
        copyFileSync(join(dir, 'config.json'), join(copy, 'config.json'));
        const { files } = writeCheckpoint(copy, openCheckpoint(dir), { dtype: stored, maxShardBytes });
        expect(files.length > 2).toBe(maxShardBytes === 500);
        const source = openCheckpoint(copy);
        for (const dtype of ['f32', 'f16'] as const) {
          const checkpoint = inPieces(source, pieceBytes, () => {});
          const model = await loadModel(backend, copy, { dtype, checkpoint });
          for (const [name, weight] of model.weights) {
            const bytes = Buffer.concat([...source.readChunks(name, 1 << 20)]);
            const isHalf = dtype === 'f16' && weight.shape.length > 1;
            expect(weight.dtype).toBe(isHalf ? 'f16' : 'f32');
            const want = isHalf ? float16BitsToFloat32(toFloat16(stored, bytes)) : toFloat32(stored, bytes);
            expect([...(await weight.data())], name).toEqual([...want]);
          }
          model.dispose();
        }
        source.close();
      }
    }
  });

  test('tells how far it is, from the first piece to the last byte', async () => {
    const seen: LoadProgress[] = [];
    const checkpoint = inPieces(openCheckpoint(dir), pieceBytes, () => {});
    const onProgress = (progress: LoadProgress) => seen.push(progress);
    const model = await loadModel(backend, dir, { dtype: 'f32', checkpoint, onProgress });
    const total = names.reduce((sum, name) => sum + checkpoint.spec(name).bytes, 0);
    expect(seen).toHaveLength(pieces);
    expect(seen[0]).toEqual({ bytes: pieceBytes, total });
    expect(seen.at(-1)).toEqual({ bytes: total, total });
    expect(seen.every(({ bytes }, i) => i === 0 || bytes > seen[i - 1].bytes)).toBe(true);
    model.dispose();
  });

  /** Loads with something that goes wrong before a piece, and says what was live on the device then. */
  async function ended(before: (i: number) => void, options: Partial<LoadOptions>): Promise<unknown> {
    const checkpoint = inPieces(openCheckpoint(dir), pieceBytes, before);
    const error = await loadModel(backend, dir, { dtype: 'auto', ...options, checkpoint }).catch((e) => e);
    checkpoint.close();
    expect(backend.stats.liveBytes).toBe(0);
    return error;
  }

  test('ends at any piece when it is aborted, and when reading fails, with nothing left on the device', async () => {
    for (let at = 0; at < pieces; at += 3) {
      const controller = new AbortController();
      const reason = new Error('asked to end');
      let told = 0;
      const abort = (i: number) => i === at && controller.abort(reason);
      const options = { signal: controller.signal, onProgress: () => told++ };
      expect(await ended(abort, options)).toBe(reason);
      expect(told).toBe(at);
      const broken = new Error('the disk is gone');
      const fail = (i: number) => {
        if (i === at) throw broken;
      };
      expect(await ended(fail, {})).toBe(broken);
    }
  });

  test('is not done before the device is, and a device that fails is told', async () => {
    const sync = backend.sync;
    try {
      let isReady = false;
      backend.sync = async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        isReady = true;
      };
      (await loadModel(backend, dir, { dtype: 'f32' })).dispose();
      expect(isReady).toBe(true);
      const lost = new DeviceError('the device was lost');
      backend.sync = () => Promise.reject(lost);
      expect(await ended(() => {}, {})).toBe(lost);
    } finally {
      backend.sync = sync;
    }
  });
});
