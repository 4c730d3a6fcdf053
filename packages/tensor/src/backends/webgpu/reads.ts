import type { Located } from '../../backend.ts';
import { bytesOf, bytesPerElement } from '../../shape.ts';
import { politely } from './device.ts';
import type { Faults } from './faults.ts';
import type { PooledBuffer } from './pool.ts';

/** Memory that the host can map, and what is to be copied out of it. */
interface Staging {
  readonly memory: GPUBuffer;
  readonly bytes: number;
  used: number;
  /** Reads that have not copied their part yet. */
  readers: number;
}

/** The reads of one turn of the program, which are waited for together. */
interface Batch {
  readonly stagings: Staging[];
  readonly mapped: Promise<void>;
}

/** What a device that records commands gives to those who read. */
export interface ReadSource {
  readonly device: GPUDevice;
  readonly faults: Faults;
  /** Records a copy of bytes. */
  copy(from: PooledBuffer<GPUBuffer>, start: number, to: GPUBuffer, at: number, bytes: number): void;
  flush(): void;
  settle(): Promise<void>;
}

const smallestStaging = 65_536;
/** What the start of a mapped range must be a multiple of. */
const mapAlignment = 8;

/**
 * Reads tensors as they are at the time of the call. Those that are asked for in one turn of the program, as
 * by Promise.all, are copied into the same memory and waited for once.
 */
export class Reads {
  readonly #source: ReadSource;
  #batch: Batch | null = null;

  constructor(source: ReadSource) {
    this.#source = source;
  }

  /** The elements' bytes, up to three more than they are. */
  async bytesOf({ buffer, offset, spec }: Located): Promise<ArrayBuffer> {
    const { faults, copy } = this.#source;
    faults.throwLoss();
    const bytes = Math.ceil(bytesOf(spec) / 4) * 4;
    if (bytes === 0) return new ArrayBuffer(0);
    this.#batch ??= this.#open();
    const { stagings, mapped } = this.#batch;
    const staging = this.#room(stagings, bytes);
    const at = staging.used;
    staging.used += Math.ceil(bytes / mapAlignment) * mapAlignment;
    const { memory } = staging;
    copy(buffer as PooledBuffer<GPUBuffer>, offset * bytesPerElement[spec.dtype], memory, at, bytes);
    staging.readers++;
    await mapped;
    const elements = memory.getMappedRange(at, bytes).slice(0);
    if (--staging.readers === 0) memory.destroy();
    return elements;
  }

  #room(stagings: Staging[], bytes: number): Staging {
    const last = stagings.at(-1);
    if (last && last.used + bytes <= last.bytes) return last;
    const { MAP_READ, COPY_DST } = GPUBufferUsage;
    const least = Math.ceil(bytes / mapAlignment) * mapAlignment;
    const size = Math.max(smallestStaging, least, Math.min(2 * (last?.bytes ?? 0), 2 ** 26));
    const memory = this.#source.faults.create(size, MAP_READ | COPY_DST);
    const staging = { memory, bytes: size, used: 0, readers: 0 };
    stagings.push(staging);
    return staging;
  }

  #open(): Batch {
    const stagings: Staging[] = [];
    const mapped = Promise.resolve().then(async () => {
      this.#batch = null;
      const { flush, settle, faults } = this.#source;
      flush();
      const map = ({ memory }: Staging) => memory.mapAsync(GPUMapMode.READ);
      const maps = politely(() => Promise.all(stagings.map(map)));
      const [, well] = await Promise.allSettled([maps, settle()]);
      if (well.status === 'fulfilled') await faults.awaiting(maps);
      else {
        for (const { memory } of stagings) memory.destroy();
        throw well.reason;
      }
    });
    return { stagings, mapped };
  }
}
