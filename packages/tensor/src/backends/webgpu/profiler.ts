import type { KernelTime } from './adapter-info.ts';

const capacity = 512;

/**
 * Timestamps around every dispatch. Each dispatch gets a pass of its own, so the whole runs slower than
 * unprofiled.
 */
export class Profiler {
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #totals = new Map<string, { count: number; milliseconds: number }>();
  #labels: string[] = [];
  #pending: Promise<void>[] = [];

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#queries = device.createQuerySet({ type: 'timestamp', count: 2 * capacity });
    const { QUERY_RESOLVE, COPY_SRC } = GPUBufferUsage;
    this.#resolved = device.createBuffer({ size: 16 * capacity, usage: QUERY_RESOLVE | COPY_SRC });
  }

  get full(): boolean {
    return this.#labels.length >= capacity;
  }

  /** What the next dispatch's pass is opened with. */
  next(label: string): GPUComputePassDescriptor {
    const i = 2 * this.#labels.length;
    this.#labels.push(label);
    return {
      timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex: i, endOfPassWriteIndex: i + 1 },
    };
  }

  /** Called before a submit: copies the timestamps out and adds them up once they have arrived. */
  resolve(encoder: GPUCommandEncoder): void {
    const labels = this.#labels;
    if (labels.length === 0) return;
    this.#labels = [];
    const bytes = 16 * labels.length;
    const { MAP_READ, COPY_DST } = GPUBufferUsage;
    const staging = this.#device.createBuffer({ size: bytes, usage: MAP_READ | COPY_DST });
    encoder.resolveQuerySet(this.#queries, 0, 2 * labels.length, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, staging, 0, bytes);
    queueMicrotask(() => this.#pending.push(this.#add(labels, staging)));
  }

  async #add(labels: readonly string[], staging: GPUBuffer): Promise<void> {
    await staging.mapAsync(GPUMapMode.READ);
    const stamps = new BigUint64Array(staging.getMappedRange());
    labels.forEach((label, i) => {
      const total = this.#totals.get(label) ?? { count: 0, milliseconds: 0 };
      total.count++;
      total.milliseconds += Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6;
      this.#totals.set(label, total);
    });
    staging.destroy();
  }

  /** The totals since the last call, slowest first. */
  async times(): Promise<KernelTime[]> {
    await Promise.all(this.#pending);
    this.#pending = [];
    const times = [...this.#totals].map(([name, total]) => ({ name, ...total }));
    this.#totals.clear();
    return times.sort((a, b) => b.milliseconds - a.milliseconds);
  }
}
