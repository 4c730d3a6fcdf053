import { countLive, type Stats } from '../../backend.ts';
import { OutOfMemoryError } from '../../errors.ts';

/** A buffer of the pool, which a tensor owns while it lives. */
export interface PooledBuffer<M> {
  readonly memory: M;
  /** Stable number: the key of cached bind groups. */
  readonly id: number;
  readonly bytes: number;
  /** Bytes of the tensor that owns it, or was the last to. */
  asked: number;
  /** The submission that may still use it. */
  usedIn: number;
}

/** Where a pool's memory comes from. */
export interface MemorySource<M> {
  /** Bytes of the largest piece. */
  readonly largest: number;
  /** The most bytes of all pieces. */
  maxBytes: number;
  create(bytes: number): M;
  /** Gives a piece back to the device, which may still be computing with it. */
  destroy(buffer: PooledBuffer<M>): void;
}

/** A free buffer is taken for no less than this part of its bytes … */
const tight = 1 / 2;
/** … and where there is no room for a new one, than this. */
const loosest = 1 / 8;
/** What is kept besides the most bytes that tensors had at once, as a part of them. */
const spare = 1 / 8;
/** Buffers below this part of the bytes that are missing go back last: so many small ones make no room. */
const worthTrimming = 1 / 10;

/**
 * Buffers for reuse, by size class. Sizes are rounded up by at most an eighth, so that lengths share classes.
 * Of the free ones the smallest that is large enough is taken, if it is less than twice as large; of one
 * class the oldest, so that the same work takes the same buffers again and finds its bind groups. Where a new
 * one would make the pool an eighth larger than the most that tensors had at once, one less than eight times
 * as large is taken, so that a short batch has what a long one left; else those go first that were used the
 * longest time ago.
 */
export class BufferPool<M> {
  readonly #source: MemorySource<M>;
  readonly #stats: Stats;
  /** By size class; newest first. */
  readonly #free = new Map<number, PooledBuffer<M>[]>();
  /** All that there are, free or not. */
  readonly #buffers = new Map<M, PooledBuffer<M>>();
  /** The most bytes that tensors had at once. */
  #most = 0;
  #nextId = 0;

  constructor(stats: Stats, source: MemorySource<M>) {
    this.#source = source;
    this.#stats = stats;
  }

  /** Throws OutOfMemoryError, of `what`, when they cannot be had, or not in one buffer. */
  take(bytes: number, what: () => string): PooledBuffer<M> {
    const { largest } = this.#source;
    if (bytes > largest) {
      throw new OutOfMemoryError(
        `webgpu: ${what()} has ${bytes} bytes, more than one buffer has (${largest} bytes)`,
      );
    }
    const size = sizeClass(bytes);
    const free = this.#reuse(size, tight) ?? (this.#hasRoom(size) ? undefined : this.#reuse(size, loosest));
    const buffer = free ?? this.#create(Math.min(size, largest), what);
    buffer.asked = bytes;
    countLive(this.#stats, bytes);
    this.#most = Math.max(this.#most, this.#stats.liveBytes);
    return buffer;
  }

  give(buffer: PooledBuffer<M>): void {
    countLive(this.#stats, -buffer.asked);
    if (!this.#buffers.has(buffer.memory)) return;
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

  /** Gives back to the device all that is free. */
  trim(): void {
    for (const list of this.#free.values()) for (const buffer of list) this.#destroy(buffer);
    this.#free.clear();
  }

  /** Forgets memory which the device turned out not to have, unless it went back before that was known. */
  drop(memory: M): void {
    const buffer = this.#buffers.get(memory);
    if (!buffer) return;
    const list = this.#free.get(buffer.bytes) ?? [];
    if (list.includes(buffer)) list.splice(list.indexOf(buffer), 1);
    this.#forget(buffer);
  }

  /** Bytes that the pool is to have at most with a new buffer of so many. */
  #wanted(bytes: number): number {
    return (1 + spare) * Math.max(this.#most, this.#stats.liveBytes + bytes);
  }

  #hasRoom(bytes: number): boolean {
    return this.#stats.reservedBytes + bytes <= Math.min(this.#wanted(bytes), this.#source.maxBytes);
  }

  #reuse(size: number, least: number): PooledBuffer<M> | undefined {
    for (let fit = size; fit * least < size; fit = sizeClass(fit + 1)) {
      const found = this.#free.get(Math.min(fit, this.#source.largest))?.pop();
      if (found) return found;
    }
    return undefined;
  }

  #create(bytes: number, what: () => string): PooledBuffer<M> {
    const stats = this.#stats;
    const { maxBytes } = this.#source;
    if (!this.#hasRoom(bytes)) this.#shrink(this.#wanted(bytes) - bytes, bytes);
    if (stats.reservedBytes + bytes > maxBytes) this.trim();
    if (stats.reservedBytes + bytes > maxBytes) {
      const [needs, used, all] = [bytes, stats.reservedBytes, maxBytes].map(mib);
      throw new OutOfMemoryError(`webgpu: ${what()} needs ${needs} MiB; ${used} of ${all} MiB are in use`);
    }
    const memory = this.#source.create(bytes);
    stats.reservedBytes += bytes;
    const buffer = { memory, id: this.#nextId++, bytes, asked: bytes, usedIn: -1 };
    this.#buffers.set(memory, buffer);
    return buffer;
  }

  /** Gives back free buffers, the longest unused first and small ones last, until so many bytes are left. */
  #shrink(target: number, missing: number): void {
    const isSmall = ({ bytes }: PooledBuffer<M>) => Number(bytes < worthTrimming * missing);
    const candidates = [...this.#free.values()]
      .flat()
      .sort((a, b) => isSmall(a) - isSmall(b) || a.usedIn - b.usedIn);
    for (const buffer of candidates) {
      if (this.#stats.reservedBytes <= target) return;
      const list = this.#free.get(buffer.bytes)!;
      list.splice(list.indexOf(buffer), 1);
      this.#destroy(buffer);
    }
  }

  #destroy(buffer: PooledBuffer<M>): void {
    this.#source.destroy(buffer);
    this.#forget(buffer);
  }

  #forget({ memory, bytes }: PooledBuffer<M>): void {
    this.#buffers.delete(memory);
    this.#stats.reservedBytes -= bytes;
  }
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 3 : 0);

/** The next multiple of an eighth of the power of two below, and of 256 bytes. */
function sizeClass(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 3));
  return Math.max(256, Math.ceil(bytes / step) * step);
}

/** Bytes of a tensor's buffer: a multiple of 16, so that its tail can be read four elements at a time. */
export function paddedBytes(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}
