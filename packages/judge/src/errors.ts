export { ConfigError, DataError, SandboxError } from '@flex/base';

/** The harness itself failed, never the candidate: a judge's own process died, a reply made no sense. */
export class HarnessError extends Error {
  override readonly name = 'HarnessError';
}
