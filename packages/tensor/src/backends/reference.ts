import { type Backend, countLive, type Located, newStats, outputBuffers } from '../backend.ts';
import { hostFunction } from '../host-function.ts';
import { numbersOf } from '../numbers-of.ts';
import type { HostArray, HostKernel } from '../op.ts';
import { bytesOf, size } from '../shape.ts';
import { mainMemory } from './device-memory.ts';

interface HostBuffer {
  readonly data: HostArray;
}

function dataOf({ buffer, offset, spec }: Located): HostArray {
  return (buffer as HostBuffer).data.subarray(offset, offset + size(spec.shape));
}

/**
 * The living definition of every op: its gpu.js text as plain JavaScript in f64, one cell after the other.
 * Slow and readable; tests compare the other backends and the gradients with it. f16 is not rounded here.
 */
export function openReference(): Backend {
  const stats = newStats();
  return {
    name: 'reference',
    description: 'reference (plain JavaScript, f64)',
    stats,
    counted: { memory: 'arrays' },
    memory: async () => mainMemory(),
    viewAlignment: 1,
    maxBindingBytes: Number.POSITIVE_INFINITY,
    allocate(spec) {
      const n = size(spec.shape);
      const data =
        spec.dtype === 'i32'
          ? new Int32Array(n)
          : spec.dtype === 'u32'
            ? new Uint32Array(n)
            : new Float64Array(n);
      countLive(stats, bytesOf(spec));
      return { data };
    },
    free(_, spec) {
      countLive(stats, -bytesOf(spec));
    },
    write(buffer, spec, data, start) {
      (buffer as HostBuffer).data.set(numbersOf(spec, data), start);
    },
    async read(source) {
      return dataOf(source).slice();
    },
    run(op, inputs, outputs, attrs, taken) {
      const buffers = outputBuffers(this, inputs, outputs, taken);
      stats.dispatches++;
      runOnHost(
        op.host(inputs, outputs, attrs),
        inputs.map((t) => dataOf({ buffer: t.buffer, offset: t.offset, spec: t })),
        buffers.map((buffer, k) => dataOf({ buffer, offset: 0, spec: outputs[k] })),
      );
      return buffers;
    },
    async sync() {},
    resetPeak() {
      stats.peakBytes = stats.liveBytes;
    },
    async close() {},
  };
}

/** Runs a kernel as plain JavaScript, in the precision of the arrays. */
export function runOnHost(
  kernel: HostKernel,
  inputs: readonly HostArray[],
  outputs: readonly HostArray[],
): void {
  if (typeof kernel === 'function') {
    kernel(inputs, outputs);
    return;
  }
  const cell = hostFunction(kernel.code);
  const [width, height = 1] = kernel.threads;
  const [out] = outputs;
  if (width * height !== out.length) throw new Error(`kernel fills ${width * height} cells of ${out.length}`);
  const self = { thread: { x: 0, y: 0, z: 0 } };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      self.thread.x = x;
      self.thread.y = y;
      out[y * width + x] = cell.call(self, ...inputs, ...kernel.args) as number;
    }
  }
}
