import { countLive, type Stats } from '../../backend.ts';
import { OutOfMemoryError } from '../../errors.ts';
import { bytesOf, type Spec, show } from '../../shape.ts';
import { maxPages } from '../../wasm/encode.ts';
import { Memory, type WasmMemory } from '../../wasm/engine.ts';
import type { WasmKernel } from '../../wasm-kernel.ts';

const pageBytes = 65_536;
/** All that WebAssembly can address. */
export const mostBytes = maxPages * pageBytes;
/** Pieces begin at multiples of this: a cache line. */
const alignment = 64;
/** Memory is taken from the system in steps of this. */
const growthBytes = 4 * 2 ** 20;

/** A kernel may read so many bytes past the end of a tensor. */
const readable = 16;

interface Free {
  start: number;
  end: number;
}

/** A tensor's place in a heap. */
export interface Piece {
  readonly address: number;
}

/** Memory of so many pages, which all threads see. Throws OutOfMemoryError where it has no room to grow. */
export function sharedMemory(pages: number): WasmMemory {
  try {
    return new Memory({ initial: pages, maximum: maxPages, shared: true });
  } catch (error) {
    throw new OutOfMemoryError(
      'wasm: the system gives no range of addresses to grow in; `ulimit -v` says how many a process may have',
      { cause: error },
    );
  }
}

/**
 * The memory that all tensors and threads share, and which pieces of it are free: the smallest free piece
 * that is large enough is taken, and neighbours that are free become one.
 */
export class Heap<M extends { grow(pages: number): unknown } = WasmMemory> {
  readonly memory: M;
  /** In the order of their addresses; two never touch. */
  readonly #free: Free[] = [];
  readonly #limit: number;
  #end: number;

  /**
   * A heap in the memory that `newMemory` makes. The first `reserved` bytes are nobody's. `limit` is the most
   * bytes that there may be, in whole pages.
   */
  constructor(newMemory: (pages: number) => M, reserved: number, limit = mostBytes) {
    this.#limit = pageBytes * Math.floor(limit / pageBytes);
    this.#end = pageBytes * Math.ceil(reserved / pageBytes);
    this.memory = newMemory(this.#end / pageBytes);
    this.give(rounded(reserved), this.#end - rounded(reserved));
  }

  /** Bytes taken from the system. */
  get bytes(): number {
    return this.#end;
  }

  /** The address of so many bytes, of any content. Throws OutOfMemoryError, of `what`, when they cannot be had. */
  take(bytes: number, what: () => string): number {
    const wanted = rounded(bytes);
    let best = this.#smallest(wanted);
    if (!best) {
      this.#grow(wanted, what);
      best = this.#smallest(wanted)!;
    }
    const { start } = best;
    best.start += wanted;
    if (best.start === best.end) this.#free.splice(this.#free.indexOf(best), 1);
    return start;
  }

  /** Gives back what `take` gave for so many bytes. */
  give(start: number, bytes: number): void {
    const end = start + rounded(bytes);
    const at = this.#after(start);
    const [before, after] = [this.#free[at - 1], this.#free[at]];
    const touches = { before: before?.end === start, after: after?.start === end };
    if (touches.before && touches.after) {
      before.end = after.end;
      this.#free.splice(at, 1);
    } else if (touches.before) before.end = end;
    else if (touches.after) after.start = start;
    else this.#free.splice(at, 0, { start, end });
  }

  #smallest(wanted: number): Free | undefined {
    let best: Free | undefined;
    let spare = Number.POSITIVE_INFINITY;
    for (const piece of this.#free) {
      const left = piece.end - piece.start - wanted;
      if (left < 0 || left >= spare) continue;
      best = piece;
      spare = left;
      if (left === 0) break;
    }
    return best;
  }

  /** The place of the first free piece behind an address. */
  #after(start: number): number {
    let [low, high] = [0, this.#free.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle].start < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #grow(wanted: number, what: () => string): void {
    const last = this.#free.at(-1);
    const missing = last?.end === this.#end ? wanted - (last.end - last.start) : wanted;
    const steps = growthBytes * Math.ceil(missing / growthBytes);
    const bytes = Math.min(steps, this.#limit - this.#end);
    const [mib, all] = [wanted, this.#limit].map((n) => (n / 2 ** 20).toFixed(n < 2 ** 20 ? 3 : 0));
    const full = `wasm: ${what()} needs ${mib} MiB, more than is left of the ${all} MiB that WebAssembly can have`;
    if (bytes < missing) throw new OutOfMemoryError(full);
    try {
      this.memory.grow(bytes / pageBytes);
    } catch (error) {
      throw new OutOfMemoryError(`wasm: ${what()} needs ${mib} MiB, and the system gives no more memory`, {
        cause: error,
      });
    }
    const start = this.#end;
    this.#end += bytes;
    this.give(start, bytes);
  }
}

/** How tensors lie in a heap. */
export function tensorsIn(heap: Heap<{ grow(pages: number): unknown }>, stats: Stats) {
  return {
    allocate(spec: Spec): Piece {
      const address = heap.take(bytesOf(spec) + readable, () => show(spec));
      countLive(stats, bytesOf(spec));
      stats.reservedBytes = heap.bytes;
      return { address };
    },
    free(piece: Piece, spec: Spec): void {
      heap.give(piece.address, bytesOf(spec) + readable);
      countLive(stats, -bytesOf(spec));
    },
    /** Calls f with the address of what the kernels of one op have between them; 0: of nothing. */
    withTemporary(label: string, kernels: readonly WasmKernel[], f: (address: number) => void): void {
      const bytes = Math.max(...kernels.map(({ temporary }) => temporary));
      if (bytes === 0) {
        f(0);
        return;
      }
      const address = heap.take(bytes + readable, () => `${label} between its steps`);
      stats.reservedBytes = heap.bytes;
      try {
        f(address);
      } finally {
        heap.give(address, bytes + readable);
      }
    },
  };
}

/** At least one piece's worth, so that every tensor has an address of its own. */
const rounded = (bytes: number) => alignment * Math.max(1, Math.ceil(bytes / alignment));
