import { afterAll, expect, test } from 'vitest';
import type { Backend } from '../../backend.ts';
import {
  broadcastTo,
  cast,
  categorical,
  concat,
  dropout,
  gather,
  pad,
  permute,
  rope,
  type Shape,
  scatterAdd,
  setRows,
  size,
  slice,
  type Tensor,
  tensor,
  transpose,
  uniform,
} from '../../index.ts';
import { readOnce } from '../../testing/index.ts';
import { openWasm } from './wasm.ts';

const backends = [1, 2, 3].map((threads) => openWasm({ threads }));
afterAll(() => Promise.all(backends.map((backend) => backend.close())));

const real = (backend: Backend, shape: Shape, stream = 0) =>
  tensor(backend, uniform(size(shape), { key: [1, 2], counter: [stream, 0] }), shape);
/** n numbers from −2 to v + 1. */
const whole = (backend: Backend, n: number, v: number) => {
  const numbers = uniform(n, { key: [3, 4] }).map((u) => Math.floor(u * (v + 4)) - 2);
  return tensor(backend, numbers, [n], 'i32');
};
const random = { key: [5, 6], counter: [7, 8] } as const;

/** Calls large enough to be shared, of sizes that no number of threads divides. */
const calls: Readonly<Record<string, (backend: Backend) => Tensor>> = {
  'permute, rows': (b) => permute(real(b, [7, 301, 5, 33]), [0, 2, 1, 3]),
  'permute, columns': (b) => permute(real(b, [7, 301, 5, 33]), [2, 0, 3, 1]),
  transpose: (b) => transpose(real(b, [517, 391])),
  'broadcast, columns': (b) => broadcastTo(real(b, [517, 1]), [3, 517, 391]),
  'broadcast, rows': (b) => broadcastTo(real(b, [391]), [517, 391]),
  slice: (b) => slice(real(b, [517, 391]), [3, 5], [511, 383]),
  pad: (b) => pad(real(b, [517, 391]), [0, 3], [0, 2]),
  concat: (b) => concat([real(b, [517, 391]), real(b, [517, 211], 1)], 1),
  gather: (b) => gather(real(b, [301, 130]), whole(b, 2047, 301)),
  scatterAdd: (b) => scatterAdd(real(b, [2047, 130]), whole(b, 2047, 301), 301),
  setRows: (b) => setRows(real(b, [67, 91, 33]), real(b, [67, 5, 33], 1), whole(b, 67, 91)),
  'setRows of f16'(b) {
    return setRows(cast(real(b, [67, 91, 34]), 'f16'), real(b, [67, 5, 34], 1), whole(b, 67, 91));
  },
  rope(b) {
    return rope(real(b, [3, 301, 5, 66]), { cos: real(b, [309, 33], 1), sin: real(b, [309, 33], 2) }, 7);
  },
  'cast to f16': (b) => cast(real(b, [200_003]), 'f16'),
  'cast from f16': (b) => cast(cast(real(b, [200_003]), 'f16'), 'f32'),
  dropout: (b) => dropout(real(b, [200_003]), { rate: 0.3, ...random }),
  categorical: (b) => categorical(real(b, [501, 391]), random),
};

test.each(Object.keys(calls))('gives the same bits on one, two and three threads: %s', async (name) => {
  const [one, ...others] = await Promise.all(
    backends.map(async (backend) => new Uint8Array((await readOnce(() => calls[name](backend))).data.buffer)),
  );
  for (const other of others) expect(Buffer.compare(other, one)).toBe(0);
});
