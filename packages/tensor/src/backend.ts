import type { CountedDevice } from './backends/counted-device.ts';
import type { DeviceMemory } from './backends/device-memory.ts';
import type { HostArray, KernelOp } from './op.ts';
import type { Spec } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** A backend's own handle of a piece of memory. Only the backend that made it looks inside. */
export type DeviceBuffer = object;

/** Elements as they are stored: f16, and the codes and scales of int8 and nf4. */
export type Bits = Uint16Array | Uint8Array;

/** A tensor's place in memory. */
export interface Located {
  readonly buffer: DeviceBuffer;
  /** In elements. */
  readonly offset: number;
  readonly spec: Spec;
}

/** Counters since the backend was opened. */
export interface Stats {
  /** Bytes of the buffers in use now. */
  liveBytes: number;
  /** The most that liveBytes has been since `resetPeak`. */
  peakBytes: number;
  /** Bytes taken from the device, in use or kept for reuse. */
  reservedBytes: number;
  /** Kernels compiled. Constant once every op has been seen: sizes and scalars are never baked in. */
  pipelines: number;
  dispatches: number;
}

/** Where tensors live and ops run. */
export interface Backend {
  /** `webgpu`, `wasm`, `gpujs` or `reference`. */
  readonly name: string;
  /** One line for people: the adapter, the driver, the mode. */
  readonly description: string;
  readonly stats: Stats;
  /** What `openCounting` is given to count as this backend does. */
  readonly counted: CountedDevice;
  /** What the first byte of a view must be a multiple of. */
  readonly viewAlignment: number;
  /** The most bytes of a tensor, or of a view of a larger one, that a kernel reads or writes. */
  readonly maxBindingBytes: number;
  /** What tensors may take in all, from now on; null where nobody tells. */
  memory(): Promise<DeviceMemory | null>;
  /**
   * Memory for a tensor; its content is undefined until written. Throws OutOfMemoryError when it cannot be
   * had.
   */
  allocate(spec: Spec): DeviceBuffer;
  /** Gives memory back; kernels already recorded still see it. */
  free(buffer: DeviceBuffer, spec: Spec): void;
  /**
   * Writes elements from `start` on: numbers for f32, i32 and u32, and the raw bits (Uint16Array) for f16. Of
   * int8 and nf4 it writes all that `quantize` gives (Uint8Array). Ordered before every later `run`, after
   * every earlier one.
   */
  write(buffer: DeviceBuffer, spec: Spec, data: HostArray | Bits, start: number): void;
  /**
   * The elements, f16, int8 and nf4 as f32. Resolves after every kernel before it has run; rejects if one
   * failed.
   */
  read(source: Located): Promise<HostArray>;
  /**
   * Records a kernel op; returns the memory of its outputs at once. `taken` is for each output the input whose
   * memory it takes over, or −1.
   */
  run(
    op: KernelOp<object>,
    inputs: readonly Tensor[],
    outputs: readonly Spec[],
    attrs: object,
    taken: readonly number[],
  ): readonly DeviceBuffer[];
  /** Resolves when everything recorded so far has run. */
  sync(): Promise<void>;
  resetPeak(): void;
  /** Frees everything. The backend cannot be used after it. */
  close(): Promise<void>;
}

/**
 * The memory of an op's outputs: that of the input which an output takes over, else new. Where there is not
 * enough for all of them, none is kept. Throws OutOfMemoryError.
 */
export function outputBuffers(
  backend: Pick<Backend, 'allocate' | 'free'>,
  inputs: readonly Tensor[],
  outputs: readonly Spec[],
  taken: readonly number[],
): DeviceBuffer[] {
  const buffers: DeviceBuffer[] = [];
  try {
    for (const [k, output] of outputs.entries()) {
      buffers.push(inputs[taken[k]]?.buffer ?? backend.allocate(output));
    }
    return buffers;
  } catch (error) {
    for (const [k, buffer] of buffers.entries()) if (taken[k] < 0) backend.free(buffer, outputs[k]);
    throw error;
  }
}

export function newStats(): Stats {
  return { liveBytes: 0, peakBytes: 0, reservedBytes: 0, pipelines: 0, dispatches: 0 };
}

/** Adds to the live bytes and keeps the peak. */
export function countLive(stats: Stats, bytes: number): void {
  stats.liveBytes += bytes;
  if (stats.liveBytes > stats.peakBytes) stats.peakBytes = stats.liveBytes;
}
