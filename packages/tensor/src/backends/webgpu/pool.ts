import type { Stats } from '../../backend.ts';
import { OutOfMemoryError } from '../../errors.ts';

/** A buffer of the pool, which a tensor owns while it lives. */
export interface PooledBuffer {
  readonly gpu: GPUBuffer;
  /** Stable number: the key of cached bind groups. */
  readonly id: number;
  readonly bytes: number;
  /** The submission that may still use it. */
  usedIn: number;
}

/**
 * Buffers for reuse, by size class. Sizes are rounded up by at most an eighth, so that lengths share classes.
 * The oldest free one of a class is taken, so that the same work takes the same buffers again and finds its
 * bind groups.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #stats: Stats;
  /** By size class; newest first. */
  readonly #free = new Map<number, PooledBuffer[]>();
  #nextId = 0;

  constructor(device: GPUDevice, stats: Stats) {
    this.#device = device;
    this.#stats = stats;
  }

  /** Throws OutOfMemoryError when one binding cannot hold that many bytes. */
  take(bytes: number): PooledBuffer {
    const { maxStorageBufferBindingSize: limit } = this.#device.limits;
    if (bytes > limit) {
      throw new OutOfMemoryError(
        `webgpu: a tensor of ${bytes} bytes is more than this adapter binds (${limit} bytes)`,
      );
    }
    const size = sizeClass(bytes);
    const reused = this.#free.get(size)?.pop();
    if (reused) return reused;
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const gpu = this.#device.createBuffer({
      size: Math.min(size, limit),
      usage: STORAGE | COPY_SRC | COPY_DST,
    });
    this.#stats.reservedBytes += size;
    return { gpu, id: this.#nextId++, bytes: size, usedIn: -1 };
  }

  give(buffer: PooledBuffer): void {
    const list = this.#free.get(buffer.bytes) ?? [];
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle].id > buffer.id) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, buffer);
    this.#free.set(buffer.bytes, list);
  }

  /** Destroys what is not in use; the caller has waited for the device. Returns the ids that are gone. */
  trim(): number[] {
    const gone: number[] = [];
    for (const list of this.#free.values()) {
      for (const buffer of list) {
        buffer.gpu.destroy();
        this.#stats.reservedBytes -= buffer.bytes;
        gone.push(buffer.id);
      }
    }
    this.#free.clear();
    return gone;
  }
}

/** The next multiple of an eighth of the power of two below, and of 256 bytes. */
export function sizeClass(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 3));
  return Math.max(256, Math.ceil(bytes / step) * step);
}

/** Bytes of a tensor's buffer: a multiple of 16, so that its tail can be read four elements at a time. */
export function paddedBytes(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}
