import { ConfigError, DataError } from '@flex/base';
import { OutOfMemoryError } from '@flex/tensor';

/** What `f` gives; its errors begin with the name. */
export async function named<T>(name: string, f: () => T | Promise<T>): Promise<T> {
  try {
    return await f();
  } catch (cause) {
    throw namedError(name, cause);
  }
}

/** An error of the kind of `cause`, whose message begins with the name. */
export function namedError(name: string, cause: unknown): Error {
  const message = `${name}: ${cause instanceof Error ? cause.message : String(cause)}`;
  if (cause instanceof ConfigError) return new ConfigError(message, { cause });
  if (cause instanceof DataError) return new DataError(message, { cause });
  if (cause instanceof OutOfMemoryError) return new OutOfMemoryError(message, { cause });
  return new Error(message, { cause });
}
