import { namedError } from '@flex/base';
import { DeviceError, OutOfMemoryError } from '@flex/tensor';

/** What `f` gives; its errors begin with the name. */
export async function named<T>(name: string, f: () => T | Promise<T>): Promise<T> {
  try {
    return await f();
  } catch (cause) {
    throw namedError(name, cause, [OutOfMemoryError, DeviceError]);
  }
}

/** The same of what `f` gives at once. */
export function namedNow<T>(name: string, f: () => T): T {
  try {
    return f();
  } catch (cause) {
    throw namedError(name, cause, [OutOfMemoryError, DeviceError]);
  }
}
