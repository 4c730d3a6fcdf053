import { expect, test } from 'vitest';
import { HarnessError } from '../errors.ts';
import type { Box } from '../sandbox/box.ts';
import { defaultLimits } from '../sandbox/limits.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { judgeCalls } from './calls.ts';

test.skipIf(withoutSandbox)("a candidate's box that cannot be opened leaves no tests behind", async () => {
  const sandbox = await openSandbox();
  const opened: Box[] = [];
  const full = new HarnessError('no more boxes');
  const launch = { command: ['/usr/bin/sleep', '60'], files: {} };
  const judged = judgeCalls({
    sandbox: {
      ...sandbox,
      open(options) {
        if (opened.length > 0) throw full;
        opened.push(sandbox.open(options));
        return opened[0];
      },
    },
    lane: 0,
    limits: defaultLimits,
    language: { reads: [], signs: {} },
    candidate: launch,
    load: '',
    tester: launch,
  });
  await expect(judged).rejects.toBe(full);
  expect(await opened[0].ended).toMatchObject({ stopped: 'closed' });
});
