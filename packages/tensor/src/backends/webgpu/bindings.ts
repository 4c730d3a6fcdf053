import { OutOfMemoryError } from '../../errors.ts';
import { bytesOf, type Spec, show } from '../../shape.ts';

/** The most bytes of a tensor: kernels count them in 32 bits, with room for a sign. */
export const maxTensorBytes = 2 ** 31;

/** Throws OutOfMemoryError where a tensor that an op reads or writes is more than a kernel can bind. */
export function requireBindable(op: string, specs: readonly Spec[], maxBindingBytes: number): void {
  const wide = specs.find((spec) => bytesOf(spec) > maxBindingBytes);
  if (!wide) return;
  const bytes = `${bytesOf(wide)} bytes, and this adapter binds ${maxBindingBytes} at once`;
  throw new OutOfMemoryError(`webgpu: ${op}: ${show(wide)} has ${bytes}`);
}
