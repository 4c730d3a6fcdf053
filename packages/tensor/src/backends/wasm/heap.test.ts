import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OutOfMemoryError } from '../../errors.ts';
import { Heap, sharedMemory } from './heap.ts';

const mib = 2 ** 20;
const reserved = 1000;

/** What to do: take so many bytes, or give back one of those that are out. */
const steps = fc.array(
  fc.oneof(
    fc.record({ take: fc.integer({ min: 0, max: 300_000 }) }),
    fc.record({ give: fc.nat({ max: 1000 }) }),
  ),
  { maxLength: 200 },
);

test('pieces never overlap, lie in the memory, and all memory is free again in the end', () =>
  fc.assert(
    fc.property(steps, (all) => {
      const heap = new Heap(sharedMemory, reserved);
      const out: { start: number; bytes: number }[] = [];
      for (const step of all) {
        if ('take' in step) {
          const start = heap.take(step.take, () => 'a piece');
          expect(start % 64).toBe(0);
          expect(start).toBeGreaterThanOrEqual(reserved);
          expect(start + step.take).toBeLessThanOrEqual(heap.memory.buffer.byteLength);
          for (const other of out) {
            const apart = start + step.take <= other.start || other.start + other.bytes <= start;
            // Even empty pieces have addresses of their own.
            expect(apart && start !== other.start).toBe(true);
          }
          out.push({ start, bytes: step.take });
        } else if (out.length > 0) {
          const [{ start, bytes }] = out.splice(step.give % out.length, 1);
          heap.give(start, bytes);
        }
      }
      for (const { start, bytes } of out) heap.give(start, bytes);
      const before = heap.bytes;
      // Were it in pieces, this would make the memory grow.
      heap.take(before - 64 * Math.ceil(reserved / 64), () => 'all of it');
      expect(heap.bytes).toBe(before);
    }),
    { numRuns: 40 },
  ));

test('the smallest piece that is large enough is taken', () => {
  const heap = new Heap(sharedMemory, reserved);
  const places = [448, 64, 192, 64, 320, 64].map((n) => heap.take(n, () => 'a piece'));
  for (const [i, bytes] of [448, 192, 320].entries()) heap.give(places[2 * i], bytes);
  expect(heap.take(250, () => 'a piece')).toBe(places[4]);
  expect(heap.take(192, () => 'a piece')).toBe(places[2]);
});

test('what does not fit is refused by its name, and the memory stays usable', () => {
  const heap = new Heap(sharedMemory, reserved, 8 * mib);
  const first = heap.take(6 * mib, () => 'f32[1536, 1024]');
  expect(() => heap.take(3 * mib, () => 'f32[768, 1024]')).toThrow(
    new OutOfMemoryError(
      'wasm: f32[768, 1024] needs 3 MiB, more than is left of the 8 MiB that WebAssembly can have',
    ),
  );
  heap.give(first, 6 * mib);
  expect(heap.take(7 * mib, () => 'f32[1792, 1024]')).toBeGreaterThan(0);
});

test('where the process has no addresses left, a new memory is refused in words', () => {
  const heaps: Heap[] = [];
  const fill = () => {
    // Each could need 4 GiB, and a process has 2⁴⁷ bytes of addresses.
    while (heaps.length < 2 ** 15) heaps.push(new Heap(sharedMemory, reserved));
  };
  expect(fill).toThrow(OutOfMemoryError);
  expect(fill).toThrow(/no range of addresses/);
});

test('a limit that ends within a page leaves that page out', () => {
  const heap = new Heap(sharedMemory, reserved, 2 * mib + 40_000);
  heap.take(2 * mib - 1024, () => 'all of it');
  expect(heap.memory.buffer.byteLength).toBe(2 * mib);
  expect(heap.bytes).toBe(2 * mib);
  expect(() => heap.take(30_000, () => 'more')).toThrow(OutOfMemoryError);
});
