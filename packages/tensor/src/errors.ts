import { DeviceError } from '@flex/base';

/** Inputs whose shapes an op cannot take. The message names the op, what it needs and what came. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

/** Inputs whose element types an op cannot take. */
export class DTypeError extends Error {
  override readonly name = 'DTypeError';
}

export { DeviceError };

/** The device has not the memory that was asked of it, and goes on. The message names what needs how much. */
export class OutOfMemoryError extends DeviceError {
  override readonly name = 'OutOfMemoryError';
}
