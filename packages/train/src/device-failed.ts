import { DeviceError, OutOfMemoryError } from '@flex/tensor';

/** What to throw where a run failed: a DeviceError with what is saved, or the error. */
export function deviceFailed(error: unknown, saved: string): unknown {
  if (!(error instanceof DeviceError) || error instanceof OutOfMemoryError) return error;
  return new DeviceError(`${error.message}; ${saved}; --resume goes on`, { cause: error });
}
