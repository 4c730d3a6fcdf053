import { expect, test } from 'vitest';
import { python } from '../testing/boxed.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { defaultLimits } from './limits.ts';
import { processTree } from './process-tree.ts';
import { openSandbox } from './sandbox.ts';
import { openTreeMemory } from './tree-memory.ts';

const MiB = 2 ** 20;

test.skipIf(withoutSandbox)(
  'an exact count has pages that forks share once, within the limit too',
  async () => {
    const sandbox = await openSandbox();
    const source = `
import os, sys, time
data = b'1' * (40 << 20)
for _ in range(5):
    if os.fork() == 0: time.sleep(60)
print(flush=True)
time.sleep(60)`;
    let isUp = () => {};
    const up = new Promise<void>((resolve) => {
      isUp = resolve;
    });
    const box = sandbox.open({ ...python(source), limits: defaultLimits, lane: 0, onOutput: () => isUp() });
    await up;
    const pids = processTree(box.pid as number).slice(1);
    const memory = openTreeMemory();
    const quick = memory.count(pids, defaultLimits.memoryBytes).bytes;
    const exact = memory.count(pids, defaultLimits.memoryBytes, true).bytes;
    box.kill();
    await box.ended;
    expect(quick).toBeGreaterThan(6 * 40 * MiB);
    expect(exact).toBeGreaterThan(40 * MiB);
    expect(exact).toBeLessThan(100 * MiB);
  },
);
