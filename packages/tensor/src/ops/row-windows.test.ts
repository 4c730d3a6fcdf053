import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { requireBindable } from '../backends/webgpu/bindings.ts';
import {
  add,
  type Backend,
  donate,
  gather,
  matmul,
  OutOfMemoryError,
  openReference,
  openWasm,
  openWebGpu,
  type Tensor,
  tensor,
} from '../index.ts';
import {
  arbitraryRandom,
  asType,
  type DrawnInput,
  describeEachBackend,
  drawUniform,
  expectClose,
  type OpResult,
  readOnce,
  type TestBackend,
  upload,
  webGpuBackend,
} from '../testing/index.ts';
import { rowWindows } from './row-windows.ts';

const limit = 2 ** 15;

/** The same backend, of which no kernel reads or writes more of a tensor than the limit. */
const narrow = (backend: Backend): Backend => ({
  ...backend,
  maxBindingBytes: limit,
  viewAlignment: 256,
  run(op, inputs, outputs, attrs, taken) {
    requireBindable(op.name, [...inputs, ...outputs], limit);
    return backend.run(op, inputs, outputs, attrs, taken);
  },
});

const narrowBackend = (label: string, backend: Backend): TestBackend => ({
  label,
  missing: false,
  open: async () => backend,
  settle: () => backend.sync(),
});

let device: Promise<Backend> | undefined;
const narrowBackends: readonly TestBackend[] = [
  narrowBackend('reference', narrow(openReference())),
  narrowBackend('wasm', narrow(openWasm())),
  {
    ...webGpuBackend,
    open() {
      device ??= openWebGpu({ maxBindingBytes: limit });
      return device;
    },
    settle: async () => (await device)?.sync(),
  },
];

const products = fc.record({
  random: arbitraryRandom,
  m: fc.constantFrom(1, 3, 4),
  n: fc.constantFrom(40, 51, 64),
  rows: fc.constantFrom(512, 600, 1001),
  dtype: fc.constantFrom('f32' as const, 'f16' as const),
  plus: fc.boolean(),
});

describe('a matrix beyond the binding', () => {
  describeEachBackend((backend) => {
    /** The product there and in f64, where nothing is too large. */
    async function bothProducts(
      inputs: readonly DrawnInput[],
      product: (...tensors: Tensor[]) => Tensor,
    ): Promise<OpResult[]> {
      const on = (where: Backend) => readOnce(() => product(...inputs.map((x) => upload(where, x))));
      return [await on(backend()), await on(openReference())];
    }

    test('its products are those of the whole, read as it is, transposed, and as what is summed over', async () => {
      await fc.assert(
        fc.asyncProperty(products, async ({ random, m, n, rows, dtype, plus }) => {
          const draw = (...shape: number[]) => asType(drawUniform(shape, random), 'f32');
          const table = asType(draw(rows, n), dtype);
          const more = (...shape: number[]) => (plus ? [draw(...shape)] : []);
          const all = [
            { transposeA: false, transposeB: true, inputs: [draw(m, n), table, ...more(m, rows)] },
            { transposeA: false, transposeB: false, inputs: [draw(m, rows), table, ...more(m, n)] },
            { transposeA: true, transposeB: false, inputs: [draw(rows, m), table, ...more(m, n)] },
            { transposeA: true, transposeB: false, inputs: [table, draw(rows, m), ...more(n, m)] },
            { transposeA: true, transposeB: true, inputs: [table, draw(m, rows), ...more(n, m)] },
            { transposeA: false, transposeB: true, inputs: [draw(2, m, n), table, ...more(2, m, rows)] },
            { transposeA: false, transposeB: true, alpha: 0.75, inputs: [draw(m, n), table] },
          ];
          // Each product is several kernels, which software Vulkan takes long to compile.
          const cases = backend().name === 'webgpu' ? all.slice(0, 3) : all;
          for (const { inputs, ...how } of cases) {
            const [got, want] = await bothProducts(inputs, (a, b, added) =>
              matmul(a, b, { ...how, plus: added && donate(add(added, 1)) }),
            );
            expect(got.shape).toEqual(want.shape);
            // Sums of up to 1,001 products of up to 4, many of which cancel.
            expectClose(got.data, want.data, 3e-5, JSON.stringify(how));
          }
        }),
        { numRuns: backend().name === 'webgpu' ? 1 : 6 },
      );
    });

    test('its rows are read by index, and an index that is none of it reads zeros', async () => {
      const [v, e] = [1000, 20];
      const numbers = Float32Array.from({ length: v * e }, (_, i) => i % 1999);
      const ids = [0, 999, 383, 384, 408, 409, 410, -1, 1000, 2 ** 31 - 1, -(2 ** 31), 410];
      const rows = ids.flatMap((id) =>
        Array.from({ length: e }, (_, i) => (id >= 0 && id < v ? numbers[id * e + i] : 0)),
      );
      for (const dtype of ['f32', 'f16'] as const) {
        const table = tensor(backend(), numbers, [v, e], dtype);
        expect([...(await gather(table, tensor(backend(), ids, [3, 4], 'i32')).data())]).toEqual(rows);
      }
    });

    test('where it is not read by rows the op, the tensor and the limit are told', () => {
      const x = tensor(backend(), new Float32Array(8200), [205, 40]);
      expect(() => add(x, 1)).toThrow(OutOfMemoryError);
      expect(() => add(x, 1)).toThrow(
        'webgpu: add: f32[205, 40] has 32800 bytes, and this adapter binds 32768 at once',
      );
    });
  }, narrowBackends);
});

test('rows that no view can begin between are refused', () => {
  const backend = { ...openReference(), maxBindingBytes: limit, viewAlignment: 256 };
  expect(() => rowWindows(tensor(backend, new Float64Array(33 * 1001), [33, 1001]))).toThrow(
    'reference: rows of f32[33, 1001] are read 64 together: 256256 bytes, and kernels bind 32768 at once',
  );
});

test('windows are the fewest that fit, begin where a view can, and are all rows once', () => {
  const shapes = fc.record({
    n: fc.integer({ min: 1, max: 4000 }),
    e: fc.integer({ min: 1, max: 300 }),
    dtype: fc.constantFrom('f32' as const, 'f16' as const),
    viewAlignment: fc.constantFrom(1, 4, 32, 64, 256),
  });
  fc.assert(
    fc.property(shapes, ({ n, e, dtype, viewAlignment }) => {
      const maxBindingBytes = 2 ** 17;
      const rowBytes = e * (dtype === 'f32' ? 4 : 2);
      const backend = { ...openReference(), maxBindingBytes, viewAlignment };
      const windows = rowWindows(tensor(backend, new Float64Array(n * e), [n, e], dtype));
      let next = 0;
      for (const { start, count } of windows) {
        expect(start).toBe(next);
        expect((start * rowBytes) % viewAlignment).toBe(0);
        expect(count * rowBytes).toBeLessThanOrEqual(maxBindingBytes);
        next += count;
      }
      expect(next).toBe(n);
      // One more unit of rows would not have fitted.
      const roomy = windows
        .slice(0, -1)
        .every(({ count }) => (count + viewAlignment) * rowBytes > maxBindingBytes);
      expect(roomy).toBe(true);
    }),
    { numRuns: 50 },
  );
});
