import { type Backend, type Located, newStats, outputBuffers } from '../backend.ts';
import { flopsOf, type HostArray } from '../op.ts';
import { bytesOf, size } from '../shape.ts';
import { type CountedAdapter, type CountedDevice, modelOf } from './counted-device.ts';

/** What calls of an op add up to. */
export interface OpCount {
  readonly calls: number;
  /** Additions and multiplications. */
  readonly flops: number;
  /** Bytes of all inputs and outputs: what there is to move where nothing stays in a cache. */
  readonly bytes: number;
}

/** A counting backend tells besides what would have been done. */
export interface CountingBackend extends Backend {
  /** By op, since the backend was opened or `resetCounts`. */
  readonly counts: ReadonlyMap<string, OpCount>;
  /** Sets of buffers that a dispatch was given and that none had before, since the same. */
  readonly bindGroupMisses: number;
  resetCounts(): void;
}

/** What most graphics cards have. */
export const ordinaryCard: CountedAdapter = {
  memory: 'pool',
  maxBindingBytes: 2 ** 31 - 4,
  viewAlignment: 256,
  wgsl: { subgroupSize: 32, software: false },
};

/**
 * A backend that takes memory, chooses kernels and binds buffers as that of a device does, and computes
 * nothing: for the memory, the dispatches and the work of programs that no machine at hand could run. It
 * never runs out of memory. Every number that is read is 1. With `memoryAlone` no kernel is chosen and no
 * work is counted, which is quicker.
 */
export function openCounting(
  device: CountedDevice = ordinaryCard,
  { memoryAlone = false } = {},
): CountingBackend {
  const stats = newStats();
  const bound = new Set<string>();
  let counts = new Map<string, OpCount>();
  let misses = 0;
  const onBind = (key: string) => {
    if (!bound.has(key)) misses++;
    bound.add(key);
  };
  const { call, ...model } = modelOf(device, stats, memoryAlone ? null : onBind);
  return {
    ...model,
    name: 'counting',
    description: 'counting (nothing is computed)',
    stats,
    counted: device,
    memory: async () => null,
    get counts() {
      return counts;
    },
    get bindGroupMisses() {
      return misses;
    },
    resetCounts() {
      counts = new Map();
      misses = 0;
    },
    write() {},
    read: async ({ spec }: Located): Promise<HostArray> => new Float32Array(size(spec.shape)).fill(1),
    run(op, inputs, outputs, attrs, taken) {
      const buffers = outputBuffers(this, inputs, outputs, taken);
      if (outputs.every(({ shape }) => size(shape) === 0)) return buffers;
      stats.dispatches++;
      call(op, inputs, outputs, attrs, taken, buffers);
      if (memoryAlone) return buffers;
      const { calls, flops, bytes } = counts.get(op.name) ?? { calls: 0, flops: 0, bytes: 0 };
      const moved = [...inputs, ...outputs].reduce((sum, spec) => sum + bytesOf(spec), 0);
      counts.set(op.name, {
        calls: calls + 1,
        flops: flops + flopsOf(op, inputs, outputs, attrs),
        bytes: bytes + moved,
      });
      return buffers;
    },
    async sync() {},
    resetPeak() {
      stats.peakBytes = stats.liveBytes;
    },
    async close() {},
  };
}
