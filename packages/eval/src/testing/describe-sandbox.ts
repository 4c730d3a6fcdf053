import { describe } from 'vitest';
import { SandboxError } from '../errors.ts';
import { findBubblewrap } from '../sandbox/sandbox.ts';

/**
 * `describe` for what needs boxes: skipped, and counted so, where bubblewrap is not installed. With
 * FLEX_REQUIRE_SANDBOX=1 it runs, and fails, there too. A bubblewrap that cannot make safe boxes fails anywhere.
 */
export const describeSandbox: (name: string, body: () => void) => void = describe.skipIf(
  process.env.FLEX_REQUIRE_SANDBOX !== '1' && !hasBubblewrap(),
);

function hasBubblewrap(): boolean {
  try {
    return findBubblewrap() !== '';
  } catch (error) {
    if (error instanceof SandboxError) return false;
    throw error;
  }
}
