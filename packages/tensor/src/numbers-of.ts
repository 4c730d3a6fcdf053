import type { Bits } from './backend.ts';
import { float16BitsToFloat32 } from './half-floats.ts';
import type { HostArray } from './op.ts';
import { dequantize, isQuantized } from './quantized.ts';
import type { Spec } from './shape.ts';

/** The numbers that a tensor's elements, as `Backend.write` takes them, stand for. */
export function numbersOf(spec: Spec, data: HostArray | Bits): HostArray {
  if (data instanceof Uint16Array) return float16BitsToFloat32(data);
  if (!(data instanceof Uint8Array)) return data;
  if (!isQuantized(spec)) throw new Error(`${spec.dtype} is not stored as bytes`);
  return dequantize(spec, data);
}
