import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import '../../index.ts';
import { opTable } from '../../kernel.ts';
import type { AnyOp } from '../../op.ts';
import { applyAll, tensor } from '../../tensor.ts';
import { arbitrarySamples, type DrawnSample, inOtherTypes, readAll } from '../../testing/index.ts';
import { Heap } from './heap.ts';
import { openWasm } from './wasm.ts';

/** Where all memory that there can be ends: what is read or written from here on is an error. */
const end = 2 ** 32;
const lastOf = (bytes: number) => end - 4 * Math.ceil(bytes / 4);

const backend = openWasm({ threads: 1 });
/** Pieces taken since it was set to 0, and which of them lies at the end. */
let [taken, last] = [0, -1];

beforeAll(() => {
  const { take, give } = Heap.prototype;
  let heap: Heap | undefined;
  vi.spyOn(Heap.prototype, 'take').mockImplementation(function (this: Heap, bytes, what) {
    heap = this;
    return taken++ === last ? lastOf(bytes) : take.call(this, bytes, what);
  });
  vi.spyOn(Heap.prototype, 'give').mockImplementation(function (this: Heap, start, bytes) {
    if (start !== lastOf(bytes)) give.call(this, start, bytes);
  });
  // The others lie beyond 2 GiB, where addresses are negative as signed numbers.
  for (let i = 0; i < 5; i++) backend.allocate({ shape: [2 ** 27], dtype: 'f32' });
  const room = { shape: [2 ** 22], dtype: 'f32' } as const;
  backend.free(backend.allocate(room), room);
  const { memory } = heap!;
  memory.grow((end - memory.buffer.byteLength) / 65_536);
});

afterAll(async () => {
  vi.restoreAllMocks();
  await backend.close();
});

/** The bits that an op gives with the n-th of the pieces that it takes at the end; none is with −1. */
async function bitsOf(op: AnyOp, { inputs, attrs }: DrawnSample, n: number): Promise<Buffer> {
  [taken, last] = [0, n];
  const results = await readAll(() => {
    const tensors = inputs.map(({ shape, dtype, data }) => tensor(backend, data, shape, dtype));
    return applyAll(op, tensors, attrs);
  });
  return Buffer.concat(results.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)));
}

test.each([...opTable.keys()])('%s reads and writes nothing behind the memory', async (name) => {
  const op = opTable.get(name)!;
  const [samples] = fc.sample(arbitrarySamples(op), 1);
  for (const sample of [...samples, ...inOtherTypes(op, samples)]) {
    const want = await bitsOf(op, sample, -1);
    for (let n = taken - 1; n >= 0; n--) expect(Buffer.compare(await bitsOf(op, sample, n), want)).toBe(0);
  }
});
