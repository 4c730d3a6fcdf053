import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { temporaryFolder } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../backend.ts';
import { DeviceError } from '../../errors.ts';
import type { KernelOp } from '../../op.ts';
import { add } from '../../ops/arithmetic.ts';
import { gather, scatterAdd } from '../../ops/gather.ts';
import { size } from '../../shape.ts';
import { apply, scope, type Tensor, tensor, zeros } from '../../tensor.ts';
import { fours } from '../../wasm/fours.ts';
import { f32x4, i32, v128 } from '../../wasm/values.ts';
import { wasmKernel } from '../../wasm-kernel.ts';
import { openWasm } from './wasm.ts';

/** An f16 table of [512, 128] whose rows are read 16,384 times: far more than one thread keeps for itself. */
function manyRows(backend: Backend): Tensor {
  const table = tensor(
    backend,
    Float32Array.from({ length: 512 * 128 }, (_, i) => Math.sin(i)),
    [512, 128],
    'f16',
  );
  const ids = tensor(
    backend,
    Int32Array.from({ length: 16_384 }, (_, i) => (i * 7919) % 512),
    [16_384],
    'i32',
  );
  return gather(table, ids);
}

/** Gives the threads a job to start with and time to start, so that they take part in what follows. */
async function startThreads(backend: Backend): Promise<void> {
  scope(() => manyRows(backend));
  await setTimeout(200);
}

const [noRow, everyRow] = [-1, -2];

/** Doubles each element in rows of `n`; in row `bad` it reads beyond all memory. */
const doubleOp: KernelOp<{ readonly bad: number }> = {
  kind: 'kernel',
  name: 'double',
  infer: ([x]) => x,
  wgsl: () => {
    throw new Error('is for one backend');
  },
  host: () => {
    throw new Error('is for one backend');
  },
  wasm([x], [y], { bad }) {
    const [rows, n] = x.shape;
    return wasmKernel({
      name: 'double',
      in: { xs: x },
      out: { ys: y },
      params: { n, bad },
      items: rows,
      cost: n,
      body: (w, { xs, ys, n, bad }) =>
        w.range(w.from, w.to, 1, (row) => {
          const start = w.let(i32.shl(i32.mul(row, n), 2));
          w.if(i32.or(i32.eq(row, bad), i32.eq(bad, everyRow)), () => w.set(start, i32.const(2 ** 31 - 64)));
          fours(w, n, (j, four) => {
            const at = w.let(i32.add(start, i32.shl(j, 2)));
            const x = w.let(v128.load(i32.add(xs, at)));
            four.store(i32.add(ys, at), f32x4.add(x, x));
          });
        }),
    });
  },
  vjp: null,
  samples: [],
};

const threadsOfProcess = () => readdirSync('/proc/self/task').length;
const onLinux = process.platform === 'linux';

describe('threads', () => {
  test('one, two, three and seven give the same bits', async () => {
    const all: Buffer[] = [];
    for (const threads of [1, 2, 3, 7]) {
      const backend = openWasm({ threads });
      await startThreads(backend);
      const values = (await manyRows(backend).data()) as Float32Array;
      all.push(Buffer.from(values.buffer));
      await backend.close();
    }
    expect(all.map((bytes) => bytes.equals(all[0]))).toEqual([true, true, true, true]);
  });

  test.runIf(onLinux)('start with the first large op, and end with the backend', async () => {
    const before = threadsOfProcess();
    const backend = openWasm({ threads: 4 });
    const [x, y] = [zeros(backend, [64, 64]), zeros(backend, [64, 64])];
    add(x, y);
    expect(threadsOfProcess()).toBe(before);
    manyRows(backend);
    expect(threadsOfProcess()).toBeGreaterThan(before);
    await backend.close();
    expect(threadsOfProcess()).toBe(before);
  });

  /** Runs a program beside the tests; `options` is what it has for NODE_OPTIONS. */
  function runProgram(script: string, options = '') {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      {
        cwd: import.meta.dirname,
        encoding: 'utf8',
        timeout: 30_000,
        env: { ...process.env, NODE_OPTIONS: options },
      },
    );
    return [stderr, stdout, status];
  }

  test('that never were needed do not keep the process, nor do those that sleep', () => {
    const script = `
      import { add, gather, openWasm, tensor, zeros } from '@flex/tensor';
      const backend = openWasm({ threads: 3 });
      const ids = zeros(backend, [40000], 'i32');
      const y = gather(tensor(backend, [1, 2, 3], [1, 3], 'f16'), ids);
      console.log((await y.data()).at(-1));`;
    expect(runProgram(script)).toEqual(['', '3\n', 0]);
  });

  test('load nothing that NODE_OPTIONS has the program load: their memory is too small for it', () => {
    const large = join(temporaryFolder(), 'large.cjs');
    writeFileSync(
      large,
      'globalThis.kept = Array.from({ length: 300_000 }, (_, i) => ({ i, text: String(i) }));',
    );
    const script = `
      import { matmul, openWasm, zeros } from '@flex/tensor';
      const x = zeros(openWasm({ threads: 2 }), [256, 256]);
      matmul(x, x);
      for (const end = performance.now() + 1000; performance.now() < end; ) await matmul(x, x).data();
      console.log('done');`;
    expect(runProgram(script, `--require ${large}`)).toEqual(['', 'done\n', 0]);
  });

  test('see memory that was added after they had started', async () => {
    const backend = openWasm({ threads: 2 });
    await startThreads(backend);
    const before = backend.stats.reservedBytes;
    const x = tensor(
      backend,
      new Float32Array(2 ** 22).map((_, i) => i % 1000),
      [4096, 1024],
    );
    const y = await apply(doubleOp, [x], { bad: noRow }).data();
    expect(backend.stats.reservedBytes).toBeGreaterThan(before);
    expect(y.findIndex((value, i) => value !== 2 * (i % 1000))).toBe(-1);
    await backend.close();
  });

  test.each([0, 4095])('one that fails in row %i says why, and the others go on', async (bad) => {
    const backend = openWasm({ threads: 2 });
    const x = tensor(backend, new Float32Array(2 ** 20).fill(1), [4096, 256]);
    await startThreads(backend);
    for (let i = 0; i < 20; i++) {
      expect(() => apply(doubleOp, [x], { bad })).toThrow(/memory access out of bounds/);
    }
    const y = await apply(doubleOp, [x], { bad: noRow }).data();
    expect(y.every((value) => value === 2)).toBe(true);
    await backend.close();
  });

  test('whose errors come from several at once are of that op alone', async () => {
    const backend = openWasm({ threads: 2 });
    const x = tensor(backend, new Float32Array(2 ** 20).fill(1), [4096, 256]);
    await startThreads(backend);
    for (let i = 0; i < 20; i++) {
      expect(() => apply(doubleOp, [x], { bad: everyRow })).toThrow(DeviceError);
      const y = await apply(doubleOp, [x], { bad: noRow }).data();
      expect(y.every((value) => value === 2)).toBe(true);
    }
    await backend.close();
  });

  test.each([0, -1, 1.5, Number.NaN])('are a whole number of at least one, not %d', (threads) => {
    expect(() => openWasm({ threads })).toThrow(RangeError);
  });
});

describe('memory', () => {
  test('what is freed is used again, and counts are right', async () => {
    const backend = openWasm({ threads: 1 });
    const x = zeros(backend, [1024, 1024]);
    const { reservedBytes } = backend.stats;
    for (let i = 0; i < 50; i++) add(x, x).dispose();
    expect(backend.stats.liveBytes).toBe(4 * 2 ** 20);
    expect(backend.stats.peakBytes).toBe(8 * 2 ** 20);
    expect(backend.stats.reservedBytes).toBeLessThanOrEqual(reservedBytes + 8 * 2 ** 20);
    await backend.close();
  });

  test('that is full is an error with the tensor and its size, and what there was stays', async () => {
    const backend = openWasm({ threads: 1, maxBytes: 16 * 2 ** 20 });
    const x = tensor(backend, new Float32Array(2 ** 21).fill(3), [2 ** 21]);
    expect(() => add(x, x)).toThrow(DeviceError);
    expect(() => add(x, x)).toThrow(/f32\[2097152\] needs 8 MiB, more than is left of the 16 MiB/);
    expect((await x.data()).every((value) => value === 3)).toBe(true);
    x.dispose();
    const again = zeros(backend, [2 ** 21]);
    expect((await again.data()).length).toBe(size(again.shape));
    await backend.close();
  });

  test('of an op that does not fit is free again', async () => {
    const backend = openWasm({ threads: 1, maxBytes: 8 * 2 ** 20 });
    const [rows, ids] = [zeros(backend, [250_000, 4]), zeros(backend, [250_000], 'i32')];
    const { liveBytes } = backend.stats;
    for (let i = 0; i < 5; i++) {
      expect(() => scatterAdd(rows, ids, 10)).toThrow(/nextIndex between its steps needs 2 MiB/);
    }
    expect(backend.stats.liveBytes).toBe(liveBytes);
    await backend.close();
  });

  test('beyond 2 GiB is as good as any', async () => {
    const backend = openWasm({ threads: 2 });
    const gaps = Array.from({ length: 5 }, () => backend.allocate({ shape: [2 ** 27], dtype: 'f32' }));
    const x = tensor(
      backend,
      new Float32Array(2 ** 20).map((_, i) => i % 1000),
      [1024, 1024],
    );
    const y = await apply(doubleOp, [x], { bad: noRow }).data();
    expect(y.findIndex((value, i) => value !== 2 * (i % 1000))).toBe(-1);
    const sum = await add(x, x).data();
    expect(sum.at(-1)).toBe(2 * ((2 ** 20 - 1) % 1000));
    expect(gaps.length).toBe(5);
    await backend.close();
  });
});

test('timers and signals are not held up by a loop that reads', async () => {
  const backend = openWasm({ threads: 1 });
  const x = zeros(backend, [4]);
  let fired = false;
  const timer = setTimeout(1).then(() => {
    fired = true;
  });
  for (let i = 0; i < 100_000 && !fired; i++) await x.data();
  expect(fired).toBe(true);
  await timer;
  await backend.close();
});

test('with `profile`, time is told by op', async () => {
  const backend = openWasm({ threads: 1, profile: true });
  const x = zeros(backend, [1000]);
  add(x, add(x, x));
  gather(zeros(backend, [2, 2]), zeros(backend, [3], 'i32'));
  const times = await backend.kernelTimes();
  expect(Object.fromEntries(times.map(({ name, count }) => [name, count]))).toEqual({ add: 2, gather: 1 });
  expect(times.every(({ milliseconds }) => milliseconds > 0)).toBe(true);
  expect(await backend.kernelTimes()).toEqual([]);
  await backend.close();
});
