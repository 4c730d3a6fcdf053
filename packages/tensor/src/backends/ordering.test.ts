import fc from 'fast-check';
import { expect, test } from 'vitest';
import { add, type Backend, mul, neg, scope, sum, type Tensor, tensor, tensorFromChunks } from '../index.ts';
import {
  describeEachBackend,
  deviceBackends,
  expectClose,
  readOnce,
  referenceBackend,
} from '../testing/index.ts';

// Freed memory goes to the next tensor of its size while the ops before are only recorded: neither an upload
// into it nor an op that writes it may reach those.

interface Command {
  readonly kind: 'upload' | 'chunks' | 'op' | 'free' | 'read' | 'readAndWait';
  readonly size: number;
  readonly a: number;
  readonly b: number;
}

const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.constantFrom(
    'upload',
    'upload',
    'chunks',
    'op',
    'op',
    'op',
    'free',
    'free',
    'read',
    'readAndWait',
  ),
  size: fc.constantFrom(5, 60, 700),
  a: fc.nat(),
  b: fc.nat(),
});

/** Runs the commands on a few tensors of each size, and gives what every read saw. */
async function runCommands(backend: Backend, commands: readonly Command[]): Promise<ArrayLike<number>[]> {
  const alive = new Map<number, Tensor[]>();
  const reads: Promise<ArrayLike<number>>[] = [];
  for (const [i, { kind, size, a, b }] of commands.entries()) {
    const mine = alive.get(size) ?? [];
    alive.set(size, mine);
    const numbers = Float32Array.from({ length: size }, (_, k) => Math.fround(Math.sin(i * 1000 + k)));
    const [x, y] = [mine.at(a % (mine.length || 1)), mine.at(b % (mine.length || 1))];
    if (kind === 'upload') mine.push(tensor(backend, numbers, [size]));
    if (kind === 'chunks') {
      const pieces = [numbers.subarray(0, 4), numbers.subarray(4)];
      mine.push(tensorFromChunks(backend, { shape: [size], dtype: 'f32' }, pieces));
    }
    if (!x || !y) continue;
    if (kind === 'op') mine.push(scope(() => mul(add(x, neg(neg(y))), 0.5)));
    if (kind === 'read' || kind === 'readAndWait') reads.push(x.data());
    if (kind === 'readAndWait') await reads.at(-1);
    if (kind === 'free') mine.splice(mine.indexOf(x), 1)[0].dispose();
  }
  for (const t of [...alive.values()].flat()) {
    reads.push(t.data());
    t.dispose();
  }
  return Promise.all(reads);
}

describeEachBackend((backend) => {
  test('uploads, ops, frees and reads in any order give what they give one by one', () =>
    fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 20, maxLength: 80, size: 'max' }), async (commands) => {
        const got = await runCommands(backend(), commands);
        const want = await runCommands(await referenceBackend.open(), commands);
        for (const [i, numbers] of want.entries()) expectClose(got[i], numbers, 1e-5, `read ${i}`);
      }),
      { numRuns: 20 },
    ));

  test('an upload into freed memory does not reach the ops recorded before it', async () => {
    const n = 64;
    const full = (x: number) => tensor(backend(), new Float32Array(n).fill(x), [n]);
    const results: Tensor[] = [];
    for (let i = 0; i < 40; i++) results.push(scope(() => neg(full(i))));
    expect(await Promise.all(results.map(async (t) => (await t.data())[n - 1]))).toEqual(
      results.map((_, i) => -i),
    );
    for (const t of results) t.dispose();
  });

  test('what is read is what was true at the call, whatever comes after', async () => {
    const x = tensor(backend(), [1, 2, 3, 4], [4]);
    const before = x.data();
    x.dispose();
    const y = scope(() => neg(tensor(backend(), [9, 9, 9, 9], [4])));
    expect([...(await before)]).toEqual([1, 2, 3, 4]);
    expect([...(await y.data())]).toEqual([-9, -9, -9, -9]);
    y.dispose();
  });

  test('a thousand ops in a row, more than one submission holds, are all run', async () => {
    const n = 1000;
    const y = scope(() => {
      const one = tensor(backend(), [1], [1]);
      let x = tensor(backend(), [0], [1]);
      for (let i = 0; i < n; i++) x = add(x, one);
      return x;
    });
    expect(await y.item()).toBe(n);
    y.dispose();
  });

  test('new sizes and new scalars compile no kernel', async () => {
    const work = (n: number) =>
      readOnce(() => {
        const x = tensor(backend(), new Float32Array(4 * n).fill(n), [4, n]);
        const row = tensor(backend(), new Float32Array(n), [n]);
        return add(sum(mul(add(x, row), 1 / n), { axes: [0] }), sum(x));
      });
    await work(12);
    const { pipelines } = backend().stats;
    for (const n of [8, 20, 36, 100]) await work(n);
    expect(backend().stats.pipelines).toBe(pipelines);
  });
}, deviceBackends);
