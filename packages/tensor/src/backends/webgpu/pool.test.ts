import { expect, test } from 'vitest';
import { newStats } from '../../backend.ts';
import { OutOfMemoryError } from '../../errors.ts';
import { BufferPool } from './pool.ts';

const MiB = 2 ** 20;
const what = () => 'f32[8]';

function pool(maxBytes = Number.POSITIVE_INFINITY) {
  const stats = newStats();
  const destroyed: number[] = [];
  let made = 0;
  const source = {
    largest: 2 ** 30,
    maxBytes,
    create: () => ({ made: made++ }),
    destroy: ({ id }: { readonly id: number }) => void destroyed.push(id),
  };
  return { stats, destroyed, pool: new BufferPool<{ readonly made: number }>(stats, source) };
}

test('of the free buffers of a class the oldest is taken, in whatever order they were given back', () => {
  const { pool: p } = pool();
  const ids = (count: number) => Array.from({ length: count }, () => p.take(256, what));
  const buffers = ids(7);
  for (const i of [3, 0, 6, 1, 5, 2, 4]) p.give(buffers[i]);
  expect(ids(7).map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(p.take(256, what).id).toBe(7);
});

test('the smallest free buffer is taken that is less than twice as large, without room for a new one eight times', () => {
  const { pool: p, stats } = pool();
  const [large, middle, small] = [64, 16, 4].map((mib) => p.take(mib * MiB, what));
  for (const buffer of [large, small, middle]) p.give(buffer);
  expect(stats.liveBytes).toBe(0);
  // There may be an eighth of 84 MiB more, which the third takes.
  const taken = [3, 9, 8, 9, 4].map((mib) => p.take(mib * MiB, what));
  expect(taken.map(({ id }) => id)).toEqual([small.id, middle.id, 3, large.id, 4]);
  expect(stats.liveBytes).toBe(33 * MiB);
});

test('what was used the longest time ago goes back before the pool is an eighth larger than tensors ever were', () => {
  const { pool: p, stats, destroyed } = pool();
  const small = Array.from({ length: 10 }, () => p.take(MiB, what));
  small.forEach((buffer, i) => {
    buffer.usedIn = (i + 5) % 10;
    p.give(buffer);
  });
  const tiny = p.take(1024, what);
  expect(tiny.id).toBe(10);
  p.give(tiny);
  p.take(8 * MiB, what);
  expect(destroyed).toEqual([5, 6, 7, 8, 9, 0, 1]);
  expect(stats.reservedBytes).toBe(11 * MiB + 1024);
});

test('where there may be no more, all that is free goes back; what is still too much is refused in words', () => {
  const { pool: p, stats, destroyed } = pool(16 * MiB);
  const [kept, ...free] = [8, 4, 2].map((mib) => p.take(mib * MiB, what));
  for (const buffer of free) p.give(buffer);
  const second = p.take(8 * MiB, what);
  expect(destroyed).toEqual([1, 2]);
  expect(stats.reservedBytes).toBe(16 * MiB);
  expect(() => p.take(256, what)).toThrow(OutOfMemoryError);
  expect(() => p.take(4096, what)).toThrow(/^webgpu: f32\[8\] needs 0\.004 MiB; 16 of 16 MiB are in use$/);
  p.give(second);
  p.give(kept);
  expect(stats).toMatchObject({ liveBytes: 0, reservedBytes: 16 * MiB });
});

test.each([true, false])("memory that was not there is nobody's again; given back before: %s", (isFree) => {
  const { pool: p, stats } = pool();
  const buffer = p.take(MiB, what);
  if (isFree) p.give(buffer);
  p.drop(buffer.memory);
  if (!isFree) p.give(buffer);
  expect(stats).toMatchObject({ liveBytes: 0, reservedBytes: 0 });
  expect(p.take(MiB, what).id).toBe(1);
});

test('memory that went back before the device told that it was not there is counted once', () => {
  const { pool: p, stats } = pool();
  const [kept, gone] = [p.take(MiB, what), p.take(MiB, what)];
  p.give(gone);
  p.trim();
  p.drop(gone.memory);
  expect(stats).toMatchObject({ liveBytes: MiB, reservedBytes: MiB });
  p.give(kept);
  expect(p.take(MiB, what).id).toBe(kept.id);
});

test('where large buffers are not enough small ones go back too', () => {
  const { pool: p, stats } = pool();
  const small = Array.from({ length: 64 }, () => p.take(MiB / 4, what));
  for (const buffer of small) p.give(buffer);
  p.take(16 * MiB, what);
  expect(stats.reservedBytes).toBe(18 * MiB);
});

test('a tensor that one buffer cannot hold is refused', () => {
  const { pool: p } = pool();
  expect(() => p.take(2 ** 30 + 16, what)).toThrow(
    /^webgpu: f32\[8\] has 1073741840 bytes, more than one buffer has/,
  );
  const whole = p.take(2 ** 30, what);
  p.give(whole);
  expect(p.take(2 ** 30, what).id).toBe(whole.id);
});
