import { DeviceError, OutOfMemoryError } from '../../errors.ts';

/** A buffer that was asked for and may turn out not to be there. */
interface Asked {
  readonly memory: GPUBuffer;
  readonly bytes: number;
  readonly error: Promise<GPUError | null>;
}

/**
 * What goes wrong on a device, which tells it later than it happens: memory that it has not, calls that it
 * refuses, and that it is lost.
 */
export class Faults {
  readonly #device: GPUDevice;
  #asked: Asked[] = [];
  #loss: DeviceError | null = null;
  /** Rejects while what was computed is of no use. */
  #known: Promise<void> = Promise.resolve();

  constructor(device: GPUDevice) {
    this.#device = device;
    device.pushErrorScope('validation');
    device.addEventListener('uncapturederror', (event) => {
      this.#loss ??= errorOf((event as GPUUncapturedErrorEvent).error.message);
    });
    device.lost.then(({ reason, message }) => {
      if (reason !== 'destroyed') this.#loss ??= errorOf(`the device was lost: ${message || reason}`);
    }, this.#lose);
  }

  get isLost(): boolean {
    return this.#loss !== null;
  }

  /** A buffer, or one that `settle` finds missing. */
  create(bytes: number, usage: number): GPUBuffer {
    this.#device.pushErrorScope('out-of-memory');
    const memory = this.#device.createBuffer({ size: bytes, usage });
    this.#asked.push({ memory, bytes, error: this.#device.popErrorScope() });
    return memory;
  }

  /** Throws what made the device useless for good, if anything has. */
  throwLoss(): void {
    if (this.#loss) throw this.#loss;
  }

  /** Awaits what the device does; where it is lost meanwhile, says so. */
  async awaiting<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#lose(error);
      throw this.#loss;
    }
  }

  /**
   * Throws what went wrong with calls so far: OutOfMemoryError, once `forget` was told of the buffers that are
   * not there, or DeviceError, for good. All who wait for the same calls are told the same.
   */
  settle(forget: (missing: readonly Pick<Asked, 'memory' | 'bytes'>[]) => void): Promise<void> {
    const asked = this.#asked;
    this.#asked = [];
    const refused = this.#device.popErrorScope();
    this.#device.pushErrorScope('validation');
    const before = this.#known;
    const now = this.awaiting(Promise.all([refused, ...asked.map(({ error }) => error)])).then(
      async ([refusal, ...errors]) => {
        const missing = asked.filter((_, i) => errors[i] !== null);
        if (missing.length > 0) forget(missing);
        await before;
        this.throwLoss();
        if (missing.length > 0) {
          const bytes = missing.reduce((sum, one) => sum + one.bytes, 0);
          throw new OutOfMemoryError(`webgpu: the device has not ${(bytes / 2 ** 20).toFixed(1)} MiB more`);
        }
        if (refusal) {
          this.#loss = errorOf(refusal.message);
          throw this.#loss;
        }
      },
    );
    this.#known = now;
    now.catch(() => {
      if (this.#known === now) this.#known = Promise.resolve();
    });
    return now;
  }

  readonly #lose = (error: unknown): void => {
    this.#loss ??= errorOf(`the device was lost: ${error instanceof Error ? error.message : String(error)}`);
  };
}

const errorOf = (message: string): DeviceError => new DeviceError(`webgpu: ${message.split('\n')[0]}`);
