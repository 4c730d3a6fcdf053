import { OutOfMemoryError } from '../errors.ts';
import { bytesOf, bytesPerElement, show } from '../shape.ts';
import type { Tensor } from '../tensor.ts';

/** Rows start … start + count − 1 of a matrix. */
export interface RowWindow {
  readonly start: number;
  readonly count: number;
}

/** True where the elements are more than a kernel of that backend reads or writes at once. */
export const isBeyondBinding = (x: Tensor): boolean => bytesOf(x) > x.backend.maxBindingBytes;

/**
 * The rows of a matrix [n, e] in windows that a kernel can bind, each a view: the fewest there can be. Throws
 * OutOfMemoryError where the rows between two places at which a view can begin are too many.
 */
export function rowWindows(x: Tensor): RowWindow[] {
  const [n, e] = x.shape;
  const { maxBindingBytes, viewAlignment } = x.backend;
  const rowBytes = e * bytesPerElement[x.dtype];
  // A view begins at a multiple of so many rows.
  const unit = viewAlignment / greatestCommonDivisor(rowBytes, viewAlignment);
  const most = Math.floor(maxBindingBytes / (rowBytes * unit)) * unit;
  if (most === 0) {
    const bytes = `${unit * rowBytes} bytes, and kernels bind ${maxBindingBytes} at once`;
    throw new OutOfMemoryError(`${x.backend.name}: rows of ${show(x)} are read ${unit} together: ${bytes}`);
  }
  return Array.from({ length: Math.ceil(n / most) }, (_, i) => ({
    start: i * most,
    count: Math.min(most, n - i * most),
  }));
}

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? a : greatestCommonDivisor(b, a % b);
