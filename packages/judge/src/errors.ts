export { ConfigError, DataError } from '@flex/base';

/**
 * No safe sandbox can be made here. The message is one line that names the cure; commands exit with code 3.
 */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
}

/** The harness itself failed, never the candidate: a judge's own process died, a reply made no sense. */
export class HarnessError extends Error {
  override readonly name = 'HarnessError';
}
