import type { Backend, Bits } from '../backend.ts';
import type { HostArray } from '../op.ts';
import { isQuantized } from '../quantized.ts';
import { bytesOf, type Spec, size } from '../shape.ts';

/**
 * The same backend, whose memory is of NaN, or of indices that nothing has, until it is written: what reads
 * what was left in a buffer that is used again gives other numbers on it.
 */
export function poisoned<B extends Backend>(backend: B): B {
  return {
    ...backend,
    allocate(spec) {
      const buffer = backend.allocate(spec);
      backend.write(buffer, spec, poisonOf(spec), 0);
      return buffer;
    },
  };
}

/** As many numbers as a tensor has that are none. */
export function poisonOf(spec: Spec): HostArray | Bits {
  const { shape, dtype } = spec;
  const n = size(shape);
  if (isQuantized(spec)) return new Uint8Array(bytesOf(spec)).fill(0xff);
  if (dtype === 'f16') return new Uint16Array(n).fill(0x7e00);
  if (dtype === 'i32') return new Int32Array(n).fill(0x7fffffff);
  return dtype === 'u32' ? new Uint32Array(n).fill(0xffffffff) : new Float32Array(n).fill(Number.NaN);
}
