import type { Backend } from '../backend.ts';
import { DeviceError, OutOfMemoryError } from '../errors.ts';
import { size } from '../shape.ts';
import { poisonOf } from './poisoned.ts';

/**
 * What goes wrong at a call. `allocation`: there is no memory, once. `dispatch`, `write`, `read`: the call is
 * refused. `loss`: from a dispatch on nothing is computed, which the next read tells. `hang`: no read after a
 * dispatch is ever answered. `wrong`: a dispatch of which numbers come gives NaN, once; indices have none.
 * `speck`: one number of what it gives is NaN, another one at each place.
 */
export const faults = ['allocation', 'dispatch', 'write', 'read', 'loss', 'hang', 'wrong', 'speck'] as const;
export type Fault = (typeof faults)[number];

/** The same backend, which fails at a call. */
export interface FaultyBackend extends Backend {
  /** Calls so far at which the fault could have been. */
  places(): number;
}

/** A backend on which a fault is at the `at`-th place where it can be, from 0. */
export function faulty(backend: Backend, fault: Fault, at: number): FaultyBackend {
  let place = 0;
  let isGone = false;
  const isHere = (where: readonly Fault[]) => where.includes(fault) && place++ === at;
  const lost = () => new DeviceError('faulty: the device was lost');
  const answer = <T>(f: () => Promise<T>): Promise<T> => {
    if (isGone) return fault === 'hang' ? new Promise<never>(() => {}) : Promise.reject(lost());
    return f();
  };
  return {
    ...backend,
    places: () => place,
    allocate(spec) {
      if (isHere(['allocation'])) throw new OutOfMemoryError('faulty: there is no memory');
      return backend.allocate(spec);
    },
    write(...args) {
      if (isHere(['write'])) throw new DeviceError('faulty: the write was refused');
      backend.write(...args);
    },
    read: (source) =>
      answer(() =>
        isHere(['read'])
          ? Promise.reject(new DeviceError('faulty: the read was refused'))
          : backend.read(source),
      ),
    sync: () => answer(() => backend.sync()),
    run(op, inputs, outputs, attrs, taken) {
      if (isHere(['dispatch'])) throw new DeviceError(`faulty: ${op.name} was refused`);
      if (isHere(['loss', 'hang'])) isGone = true;
      if (isGone) return outputs.map((output, k) => inputs[taken[k]]?.buffer ?? backend.allocate(output));
      const buffers = backend.run.call(this, op, inputs, outputs, attrs, taken);
      const numbers = outputs.flatMap(({ dtype }, k) => (dtype === 'f32' || dtype === 'f16' ? k : []));
      if (numbers.length > 0 && isHere(['wrong'])) {
        for (const k of numbers) backend.write(buffers[k], outputs[k], poisonOf(outputs[k]), 0);
      }
      if (numbers.length > 0 && isHere(['speck'])) {
        const k = numbers[at % numbers.length];
        const { shape, dtype } = outputs[k];
        // By the golden ratio, so that places next to each other are far apart.
        const i = Math.floor(size(shape) * ((at * 0.6180339887498949) % 1));
        if (size(shape) > 0) backend.write(buffers[k], outputs[k], poisonOf({ shape: [1], dtype }), i);
      }
      return buffers;
    },
  };
}
