import { afterAll, describe, expect, test } from 'vitest';
import { openReference } from './backends/reference.ts';
import { openWasm } from './backends/wasm/wasm.ts';
import {
  add,
  argmax,
  type Backend,
  cast,
  causalSoftmax,
  crossEntropy,
  div,
  donate,
  exp,
  type HostArray,
  log,
  logSumExp,
  max,
  mul,
  pow,
  rmsNorm,
  rowSum,
  sigmoid,
  softmax,
  sub,
  sum,
  swiglu,
  type Tensor,
  tanh,
  tensor,
} from './index.ts';
import { call, type Expr, elementwise, type Primitive, rowwise } from './kernel.ts';
import { expectClose } from './testing/index.ts';
import { f32x4 } from './wasm/index.ts';

const crews = [1, 2, 3].map((threads) => openWasm({ threads }));
const [alone] = crews;
const reference = openReference();
afterAll(() => Promise.all(crews.map((backend) => backend.close())));

/** Numbers in [−2, 2) that f16 has too. */
const numbers = (n: number, seed = 1) =>
  Float32Array.from({ length: n }, (_, i) => ((Math.imul(i + seed, 2_654_435_761) >>> 8) % 1024) / 256 - 2);
const drawn = (backend: Backend, shape: readonly number[], seed = 1) =>
  tensor(
    backend,
    numbers(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  );
const bitsOf = (data: HostArray) =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');

/** Programs on tensors large enough to be shared, with rests in every place. */
const large: readonly [name: string, (b: Backend) => Tensor][] = [
  ['a chain', (b) => tanh(add(exp(drawn(b, [300, 1001])), sigmoid(drawn(b, [300, 1001], 7))))],
  ['suffixes', (b) => mul(drawn(b, [701, 333]), drawn(b, [333], 5))],
  ['prefixes', (b) => mul(drawn(b, [701, 333]), drawn(b, [701, 1], 5))],
  ['suffixes of 3', (b) => mul(drawn(b, [50_001, 3]), drawn(b, [3], 5))],
  ['prefixes of 2', (b) => pow(drawn(b, [50_001, 2]), drawn(b, [50_001, 1], 5))],
  ['f16 suffixes', (b) => mul(drawn(b, [701, 333]), cast(drawn(b, [333], 5), 'f16'))],
  ['f16 prefixes', (b) => mul(cast(drawn(b, [701, 333]), 'f16'), cast(drawn(b, [701, 1], 5), 'f16'))],
  ['one for all', (b) => log(add(mul(drawn(b, [1000, 333]), drawn(b, [1, 1])), 5))],
  ['softmax', (b) => softmax(drawn(b, [777, 301]))],
  ['a prefix softmax', (b) => causalSoftmax(drawn(b, [777, 301]), { scale: 0.3, queries: 259, offset: 40 })],
  ['rmsNorm', (b) => rmsNorm(drawn(b, [777, 130]), drawn(b, [130], 3), 1e-5)],
  ['sums of rows', (b) => sum(drawn(b, [777, 301]), { axes: [1] })],
  ['sums of columns', (b) => sum(drawn(b, [1777, 301]), { axes: [0] })],
  ['maxima in the middle', (b) => max(drawn(b, [30, 177, 61]), { axes: [1] })],
  ['argmax', (b) => argmax(drawn(b, [777, 1301]))],
];

describe('large maps and rows', () => {
  test.for(large)('%s: the reference, in the same bits by one, two and three threads', async ([, f]) => {
    const results = await Promise.all(crews.map((backend) => f(backend).data()));
    const exact = await f(reference).data();
    expectClose(results[0], exact, 1e-5);
    expect(results.map(bitsOf)).toEqual(results.map(() => bitsOf(results[0])));
  });

  test('sums of long rows are as exact as short ones', async () => {
    for (const n of [32_000, 90_001]) {
      const data = numbers(n).map((x) => x + 3);
      const row = tensor(alone, data, [1, n]);
      const total = data.reduce((a, b) => a + b, 0);
      const [got] = await sum(row, { axes: [1] }).data();
      expect(Math.abs(got / total - 1)).toBeLessThan(1.2e-7);
      const [gotLog] = await logSumExp(row).data();
      const wanted = Math.log(data.reduce((a, x) => a + Math.exp(x), 0));
      expect(Math.abs(gotLog / wanted - 1)).toBeLessThan(2e-7);
      const [gotAcross] = await sum(
        tensor(
          alone,
          Array.from(data).flatMap((x) => [x, x]),
          [1, n, 2],
        ),
        { axes: [1] },
      ).data();
      expect(Math.abs(gotAcross / total - 1)).toBeLessThan(1e-6);
    }
  });

  test('what lies behind a row, and in memory that is used again, is in no result', async () => {
    for (const n of [1, 3, 5, 18, 1030]) {
      const dirt = () => tensor(alone, new Float32Array(7 * n).fill(Number.NaN), [7, n]);
      for (const t of [dirt(), dirt(), dirt()]) t.dispose();
      const x = drawn(alone, [7, n]);
      const before = drawn(alone, [7, n], 3);
      const y = causalSoftmax(x, { scale: 1, queries: 7, offset: 0 });
      const exact = causalSoftmax(drawn(reference, [7, n]), { scale: 1, queries: 7, offset: 0 });
      expectClose(await y.data(), await exact.data(), 1e-6);
      expect(Array.from(await before.data())).toEqual(Array.from(numbers(7 * n, 3)));
    }
  });

  test('a NaN of a row is in its sum and its maximum, and in no other row', async () => {
    const data = new Float32Array(3 * 70).fill(1);
    data[70 + 37] = Number.NaN;
    const x = tensor(alone, data, [3, 70]);
    expect(Array.from(await max(x, { axes: [1] }).data())).toEqual([1, Number.NaN, 1]);
    expect(Array.from(await sum(x, { axes: [1] }).data())).toEqual([70, Number.NaN, 70]);
    expect(Array.from(await max(x, { axes: [0] }).data()).indexOf(Number.NaN)).toBe(-1);
    expect(Number.isNaN((await max(x, { axes: [0] }).data())[37])).toBe(true);
  });

  test('what an empty result was computed with computes others', async () => {
    const shift = elementwise('test shift', (x, y) => add(x, y));
    const column = drawn(alone, [5, 1]);
    expect((await shift(drawn(alone, [5, 0]), column).data()).length).toBe(0);
    const want = Array.from({ length: 20 }, (_, i) => numbers(20)[i] + numbers(5)[i >> 2]);
    expect(Array.from(await shift(drawn(alone, [5, 4]), column).data())).toEqual(want);
  });

  test('rows of an empty matrix write nothing', async () => {
    const around = Array.from({ length: 40 }, () => tensor(alone, new Float32Array(16).fill(5), [16]));
    const kept = around.filter((_, i) => i % 2 === 0);
    for (const t of around) if (!kept.includes(t)) t.dispose();
    const x = tensor(alone, [], [100, 7, 0]);
    for (let i = 0; i < 10; i++) {
      expect(max(x, { axes: [1] }).shape).toEqual([100, 0]);
      sum(x, { axes: [1] });
    }
    for (const t of kept) expect((await t.data()).every((value) => value === 5)).toBe(true);
  });

  test('an operand that is given up is read before its memory is written', async () => {
    const [x, y] = [drawn(alone, [333, 41]), drawn(alone, [41], 2)];
    const want = await swiglu(x, y).data();
    expect(bitsOf(await swiglu(donate(x), y).data())).toBe(bitsOf(want));
  });
});

describe('functions of strangers', () => {
  const cube: Primitive = {
    name: 'cube',
    wgsl: ([x]) => `(${x} * ${x} * ${x})`,
    js: (x) => `(${x} ** 3)`,
    gradients: (g) => [g],
  };
  const simdCube: Primitive = { ...cube, wasm: ([x]) => f32x4.mul(x, f32x4.mul(x, x)) };
  const [x, exact] = [numbers(1000), numbers(1000).map((v) => v ** 3)];

  test('one without instructions runs as JavaScript, in maps and in rows', async () => {
    const before = alone.stats.pipelines;
    const map = elementwise('test cube', (v) => call(cube, v));
    expectClose(await map(tensor(alone, x, [1000])).data(), exact, 1e-6);
    const share = rowwise('test cubeShare', ['row'], (v) => div(call(cube, v), rowSum(call(cube, v))));
    const total = exact.reduce((a, b) => a + b, 0);
    const shares = exact.map((v) => v / total);
    expectClose(await share(tensor(alone, x, [1, 1000])).data(), shares, 1e-4);
    expect(alone.stats.pipelines).toBe(before);
  });

  test('one with instructions makes a kernel, and composes with others', async () => {
    const before = alone.stats.pipelines;
    const softplus = (v: Expr) => log(add(1, exp(v)));
    const chain = elementwise('test softplusCube', (v) =>
      sub(softplus(call(simdCube, v)), call(simdCube, v)),
    );
    const want = exact.map((v) => Math.log(1 + Math.exp(v)) - v);
    expectClose(await chain(tensor(alone, x, [1000])).data(), want, 1e-6);
    expect(alone.stats.pipelines).toBe(before + 1);
    await chain(tensor(alone, x.subarray(0, 10), [10])).data();
    expect(alone.stats.pipelines).toBe(before + 1);
  });
});

test('cross-entropy of 512 rows of 2,048 is that of its definition', async () => {
  const labels = Int32Array.from({ length: 64 }, (_, i) => (i % 5 === 0 ? -100 : 31 * i));
  const [logits, targets] = [drawn(alone, [64, 2048]), tensor(alone, labels, [64], 'i32')];
  const exact = crossEntropy(drawn(reference, [64, 2048]), tensor(reference, labels, [64], 'i32'));
  expectClose(await crossEntropy(logits, targets).data(), await exact.data(), 1e-6);
});
