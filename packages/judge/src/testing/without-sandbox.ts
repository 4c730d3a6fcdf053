import { SandboxError } from '../errors.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { findBubblewrap, openSandbox } from '../sandbox/sandbox.ts';

/**
 * Whether tests that need boxes are to be skipped, and counted as such: where bubblewrap is not installed.
 * With FLEX_REQUIRE_SANDBOX=1 they run, and fail, there too. A bubblewrap that cannot make safe boxes fails
 * anywhere.
 */
export const withoutSandbox: boolean = process.env.FLEX_REQUIRE_SANDBOX !== '1' && !hasBubblewrap();

/** The machine's sandbox; null, for tests to skip, where `withoutSandbox`. */
export const machineSandbox = (): Promise<Sandbox | null> =>
  withoutSandbox ? Promise.resolve(null) : openSandbox();

function hasBubblewrap(): boolean {
  try {
    return findBubblewrap() !== '';
  } catch (error) {
    if (error instanceof SandboxError) return false;
    throw error;
  }
}
