import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * Whether tests that run programs in a box are to be skipped, and counted as such: where bubblewrap is not
 * installed. With FLEX_REQUIRE_SANDBOX=1 they run and fail there.
 */
export const withoutSandbox: boolean = process.env.FLEX_REQUIRE_SANDBOX !== '1' && !hasBubblewrap();

function hasBubblewrap(): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, 'bwrap'), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
