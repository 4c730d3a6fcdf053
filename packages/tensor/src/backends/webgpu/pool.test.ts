import { expect, test } from 'vitest';
import { newStats } from '../../backend.ts';
import { BufferPool } from './pool.ts';

test('of the free buffers of a class the oldest is taken, in whatever order they were given back', () => {
  Object.assign(globalThis, { GPUBufferUsage: { STORAGE: 1, COPY_SRC: 2, COPY_DST: 4 } });
  const device = { limits: { maxStorageBufferBindingSize: 2 ** 20 }, createBuffer: () => ({}) };
  const pool = new BufferPool(device as unknown as GPUDevice, newStats());
  const ids = (count: number) => Array.from({ length: count }, () => pool.take(256));
  const buffers = ids(7);
  for (const i of [3, 0, 6, 1, 5, 2, 4]) pool.give(buffers[i]);
  expect(ids(7).map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(pool.take(256).id).toBe(7);
});
