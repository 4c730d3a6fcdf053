import { type Backend, countLive, newStats } from '../backend.ts';
import { float16BitsToFloat32 } from '../half-floats.ts';
import type { GpuJsKernel, HostArray } from '../op.ts';
import { bytesPerElement, type Spec, size } from '../shape.ts';

interface HostBuffer {
  readonly data: HostArray;
}

const dataOf = (buffer: object): HostArray => (buffer as HostBuffer).data;

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
    allocate(spec) {
      const n = size(spec.shape);
      const data =
        spec.dtype === 'i32'
          ? new Int32Array(n)
          : spec.dtype === 'u32'
            ? new Uint32Array(n)
            : new Float64Array(n);
      countLive(stats, n * bytesPerElement[spec.dtype]);
      return { data };
    },
    free(_, spec) {
      countLive(stats, -size(spec.shape) * bytesPerElement[spec.dtype]);
    },
    write(buffer, spec, data, start) {
      dataOf(buffer).set(spec.dtype === 'f16' ? float16BitsToFloat32(data as Uint16Array) : data, start);
    },
    async read(buffer) {
      return dataOf(buffer).slice();
    },
    run(op, inputs, output, attrs) {
      const buffer = this.allocate(output);
      stats.dispatches++;
      runOnHost(
        op.gpujs!(inputs, output, attrs),
        inputs.map((t) => dataOf(t.buffer)),
        output,
        dataOf(buffer),
      );
      return buffer;
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
  kernel: GpuJsKernel,
  inputs: readonly HostArray[],
  output: Spec,
  out: HostArray,
): void {
  if ('host' in kernel) {
    kernel.host(inputs, out);
    return;
  }
  const cell = textFunction(kernel.code);
  const [width, height = 1] = kernel.threads;
  const self = { thread: { x: 0, y: 0, z: 0 } };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      self.thread.x = x;
      self.thread.y = y;
      out[y * width + x] = cell.call(self, ...inputs, ...kernel.args);
    }
  }
  if (width * height !== size(output.shape))
    throw new Error(`kernel fills ${width * height} cells of ${size(output.shape)}`);
}

const functions = new Map<string, (...args: unknown[]) => number>();

function textFunction(code: string): (...args: unknown[]) => number {
  let f = functions.get(code);
  if (!f) {
    f = new Function(`return (${code})`)() as (...args: unknown[]) => number;
    functions.set(code, f);
  }
  return f;
}
