/** A configuration or an argument that is wrong: says which key, where, and what would be right. */
export class ConfigError extends Error {
  override readonly name: string = 'ConfigError';
}

/** A folder that another process writes into, which ends at some time. */
export class BusyError extends ConfigError {
  override readonly name = 'BusyError';
}

/** A file whose content is wrong: says which file (and line), what is wrong, and what would be right. */
export class DataError extends Error {
  override readonly name = 'DataError';
}

/**
 * No safe sandbox can be made here. The message is one line that names the cure; commands exit with code 3.
 */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
}

/** The device is missing, lost, or too small for what was asked. */
export class DeviceError extends Error {
  override readonly name: string = 'DeviceError';
}

/** The error of the operating system that an error is or was caused by, such as of a full disk; else null. */
export function systemErrorOf(error: unknown): NodeJS.ErrnoException | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('syscall' in cause) return cause as NodeJS.ErrnoException;
  }
  return null;
}
