import type { Backend } from '../backend.ts';
import { DeviceError } from '../errors.ts';
import { flopsOf } from '../op.ts';

/** How long a device may take. */
export interface Patience {
  /** For a wait of any kind. Left out: 60. */
  readonly seconds?: number;
  /** What it computes at the least, for the work that is waited for. Left out: 10⁹. */
  readonly flopsPerSecond?: number;
}

/**
 * The same backend, whose waits end: where a read or `sync` lasts longer than it may for the work that was
 * recorded before it, it rejects with DeviceError, and so does everything after it.
 */
export function watched<B extends Backend>(
  backend: B,
  { seconds = 60, flopsPerSecond = 1e9 }: Patience = {},
): B {
  /** Additions and multiplications, recorded and known to be done. */
  let [recorded, done] = [0, 0];
  let hung: DeviceError | null = null;
  const throwHung = (): void => {
    if (hung) throw hung;
  };
  const within = async <T>(wait: () => Promise<T>): Promise<T> => {
    throwHung();
    const before = recorded;
    const limit = seconds + (before - done) / flopsPerSecond;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const giveUp = () => {
        hung = new DeviceError(
          `${backend.name}: the device has not answered for ${Math.ceil(limit)} seconds`,
        );
        reject(hung);
      };
      // In two halves, so that a program that was busy itself has the time to hear the answer.
      const half = 500 * limit;
      timer = setTimeout(() => {
        timer = setTimeout(giveUp, half);
      }, half);
    });
    try {
      const result = await Promise.race([wait(), late]);
      done = Math.max(done, before);
      return result;
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    ...backend,
    allocate(spec) {
      throwHung();
      return backend.allocate(spec);
    },
    write(...args) {
      throwHung();
      backend.write(...args);
    },
    run(op, inputs, outputs, attrs, taken) {
      throwHung();
      recorded += flopsOf(op, inputs, outputs, attrs);
      return backend.run(op, inputs, outputs, attrs, taken);
    },
    read: (source) => within(() => backend.read(source)),
    sync: () => within(() => backend.sync()),
    async close() {
      if (hung === null) await backend.close();
    },
  };
}
