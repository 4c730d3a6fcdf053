import { createRequire } from 'node:module';
import type { IKernelRunShortcut } from 'gpu.js';
import { type Backend, countLive, type Located, newStats, outputBuffers } from '../backend.ts';
import { numbersOf } from '../numbers-of.ts';
import type { HostArray, HostKernel } from '../op.ts';
import { bytesPerElement, type Spec, size } from '../shape.ts';
import { mainMemory } from './device-memory.ts';
import { runOnHost } from './reference.ts';

/** Memory that is there from what first fills it until the last kernel that was recorded before `free`. */
interface HostBuffer {
  readonly spec: Spec;
  data: HostArray | null;
}

const arrayTypes = {
  f32: Float32Array,
  f16: Float32Array,
  i32: Int32Array,
  u32: Uint32Array,
  int8: Float32Array,
  nf4: Float32Array,
};

function arrayOf(buffer: object): HostArray {
  const host = buffer as HostBuffer;
  host.data ??= new arrayTypes[host.spec.dtype](size(host.spec.shape));
  return host.data;
}

function elementsOf({ buffer, offset, spec }: Located): HostArray {
  return arrayOf(buffer).subarray(offset, offset + size(spec.shape));
}

/** What a queued kernel needs of a tensor, which may be freed by then. */
const specOf = ({ shape, dtype }: Spec): Spec => ({ shape, dtype });

/**
 * gpu.js counts cells and array elements in f32, which is exact up to here: larger ones are plain JavaScript.
 */
const maxElements = 2 ** 24;

/** Bytes a tensor takes here: f16, int8 and nf4 are kept as the f32 of the same values. */
export const bytesOfArray = (spec: Spec): number =>
  size(spec.shape) * Math.max(4, bytesPerElement[spec.dtype]);

/**
 * The backend without a GPU: gpu.js, compiled to WebAssembly (`webasm`: SIMD, threads) or to JavaScript
 * (`cpu`). Ops that are plain loops run as such. Kernels run in the order of the calls, when the host next
 * waits.
 */
export function openGpuJs(mode: 'webasm' | 'cpu' = 'webasm'): Backend {
  const { GPU } = createRequire(import.meta.url)('gpu.js') as typeof import('gpu.js');
  const gpu = new GPU({ mode });
  const stats = newStats();
  const kernels = new Map<string, IKernelRunShortcut>();
  let queue: Promise<void> = Promise.resolve();

  /** Runs f after everything before it; its failure is told to whoever reads next. */
  const enqueue = (f: () => void | Promise<void>): void => {
    queue = queue.then(f);
    queue.catch(() => {}); // reported by `read` and `sync`, which await the same promise
  };

  const kernelFor = (code: string): IKernelRunShortcut => {
    let kernel = kernels.get(code);
    if (!kernel) {
      kernel = gpu.createKernel(
        code as never,
        {
          dynamicOutput: true,
          dynamicArguments: true,
          loopMaxIterations: maxElements,
          asyncMode: mode === 'webasm',
        } as never,
      ) as IKernelRunShortcut;
      kernels.set(code, kernel);
      stats.pipelines++;
    }
    return kernel;
  };

  const runKernel = async (
    kernel: HostKernel,
    inputs: readonly Located[],
    outputs: readonly Located[],
  ): Promise<void> => {
    const data = inputs.map(elementsOf);
    const filled = outputs.map(elementsOf);
    const unfit = (array: HostArray) => array.length === 0 || array.length > maxElements;
    if (typeof kernel === 'function' || [...data, ...filled].some(unfit)) {
      return runOnHost(kernel, data, filled);
    }
    const [out] = filled;
    const compiled = kernelFor(kernel.code);
    compiled.setOutput([...kernel.threads]);
    const result = (await compiled(...(data as never[]), ...(kernel.args as never[]))) as unknown;
    if (result instanceof Float32Array) out.set(result);
    else for (const [y, row] of (result as Float32Array[]).entries()) out.set(row, y * kernel.threads[0]);
  };

  return {
    name: 'gpujs',
    description: `gpu.js (${mode}, no GPU)`,
    stats,
    counted: { memory: 'arrays' },
    memory: async () => mainMemory(),
    viewAlignment: 1,
    maxBindingBytes: Number.POSITIVE_INFINITY,
    allocate(spec) {
      countLive(stats, bytesOfArray(spec));
      stats.reservedBytes = stats.liveBytes;
      return { spec, data: null } satisfies HostBuffer;
    },
    free(buffer, spec) {
      enqueue(() => {
        (buffer as HostBuffer).data = null;
      });
      countLive(stats, -bytesOfArray(spec));
      stats.reservedBytes = stats.liveBytes;
    },
    write(buffer, spec, data, start) {
      const numbers = numbersOf(spec, data);
      const own = numbers === data ? numbers.slice() : numbers;
      enqueue(() => arrayOf(buffer).set(own, start));
    },
    async read(source) {
      await queue;
      return elementsOf(source).slice();
    },
    run(op, inputs, outputs, attrs, taken) {
      const buffers = outputBuffers(this, inputs, outputs, taken);
      if (outputs.every(({ shape }) => size(shape) === 0)) return buffers; // gpu.js takes no empty grid
      const kernel = op.host(inputs, outputs, attrs);
      const sources = inputs.map((t): Located => ({ buffer: t.buffer, offset: t.offset, spec: specOf(t) }));
      const targets = outputs.map((spec, k): Located => ({ buffer: buffers[k], offset: 0, spec }));
      stats.dispatches++;
      enqueue(() => runKernel(kernel, sources, targets));
      return buffers;
    },
    sync: () => queue,
    resetPeak() {
      stats.peakBytes = stats.liveBytes;
    },
    async close() {
      await queue;
      await gpu.destroy();
    },
  };
}
