import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Backend } from '../backend.ts';
import { add } from '../ops/arithmetic.ts';
import { matmul } from '../ops/matmul.ts';
import { softmax } from '../ops/softmax.ts';
import { donate, empty, scope, type Tensor, zeros } from '../tensor.ts';
import { webGpuBackend } from '../testing/backends.ts';
import { openCounting } from './counting.ts';
import { openGpuJs } from './gpujs.ts';
import { openWasm } from './wasm/wasm.ts';
import { openWebGpu } from './webgpu/webgpu.ts';

const n = fc.integer({ min: 0, max: 70 });
const place = fc.nat({ max: 20 });
/** What a program does next with the tensors that it has. */
const steps = fc.array(
  fc.oneof(
    fc.record({ make: fc.tuple(n, n), dtype: fc.constantFrom('f32' as const, 'f16' as const) }),
    fc.record({ multiply: place }),
    fc.record({ replace: place }),
    fc.record({ free: place }),
  ),
  { minLength: 5, maxLength: 40 },
);
type Steps = typeof steps extends fc.Arbitrary<infer S> ? S : never;

/** Dispatches, live, highest and reserved bytes after each step. */
function* run(backend: Backend, program: Steps): Generator<readonly number[]> {
  const { stats } = backend;
  const has: Tensor[] = [];
  for (const step of program) {
    if ('make' in step) {
      const spec = { shape: step.make, dtype: step.dtype };
      has.push(step.dtype === 'f16' ? empty(backend, spec) : zeros(backend, step.make));
    } else if (has.length > 0 && 'multiply' in step) {
      const x = has[step.multiply % has.length];
      has.push(
        scope(() => {
          const product = matmul(zeros(backend, [3, x.shape[1]]), x, { transposeB: true });
          return x.shape[0] > 0 ? softmax(product) : product;
        }),
      );
    } else if (has.length > 0 && 'replace' in step) {
      const i = step.replace % has.length;
      if (has[i].dtype === 'f32') has[i] = add(donate(has[i]), zeros(backend, has[i].shape));
    } else if (has.length > 0 && 'free' in step) {
      has.splice(step.free % has.length, 1)[0].dispose();
    }
    // What a pool gives back depends on what a device has done by then.
    const reserved = backend.counted.memory === 'pool' ? 0 : stats.reservedBytes;
    yield [stats.dispatches, stats.liveBytes, stats.peakBytes, reserved];
  }
  for (const t of has) t.dispose();
}

const devices: readonly (readonly [string, () => Backend | Promise<Backend>, boolean?])[] = [
  ['the CPU engine', () => openWasm({ threads: 1 })],
  ['the CPU engine with several threads', () => openWasm({ threads: 3 })],
  ['gpu.js', () => openGpuJs('cpu')],
  ['WebGPU', () => openWebGpu(), webGpuBackend.missing],
];

for (const [name, open, missing = false] of devices) {
  test.skipIf(missing)(`${name}: memory is counted as it is taken`, async () => {
    const backend = await open();
    const countings = [false, true].map((memoryAlone) => openCounting(backend.counted, { memoryAlone }));
    fc.assert(
      fc.property(steps, (program) => {
        // All go on from where the program before left them.
        const taken = [...run(backend, program)];
        for (const counting of countings) expect([...run(counting, program)]).toEqual(taken);
      }),
      { numRuns: 30 },
    );
    await backend.close();
  });
}
