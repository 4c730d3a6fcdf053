import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import type { PlannedRun, RunCost } from '@flex/study';
import { printConfig } from '@flex/train';
import { exitCode } from './failure.ts';
import { flexProcess } from './flex-process.ts';
import { type LocalOptions, sharedArgs, updatesOf } from './local-launcher.ts';

/** Updates of a probe: the first compiles, the last has an evaluation; those between are like all others. */
const probeUpdates = 12;

/** What is seen of an update as it is told. */
interface Seen {
  /** Seconds since the process began. */
  readonly at: number;
  readonly of: number;
  readonly memoryBytes: number;
}

/**
 * Measures what a run takes by its first updates, in a folder of their own. Throws what the run would end
 * with.
 */
export async function probeRun(run: PlannedRun, local: LocalOptions, signal: AbortSignal): Promise<RunCost> {
  const { config } = run;
  const folder = mkdtempSync(join(tmpdir(), 'flex-probe-'));
  try {
    const file = join(folder, 'config.yaml');
    const most = Math.min(probeUpdates, config.train.maxSteps ?? probeUpdates);
    const train = { ...config.train, maxSteps: most, evalEvery: 0, saveEvery: 0, patience: null };
    writeFileSync(file, printConfig({ ...config, out: join(folder, 'run'), callbacks: [], train }));
    const began = performance.now();
    const elapsed = () => (performance.now() - began) / 1000;
    const seen: Seen[] = [];
    const onLine = (line: unknown) => {
      const updates = updatesOf(line, run);
      const { memory_bytes } = (line ?? {}) as { memory_bytes?: unknown };
      if (updates) seen.push({ at: elapsed(), of: updates.of, memoryBytes: Number(memory_bytes) });
    };
    const args = ['train', file, ...sharedArgs('train', local)];
    const { code, signal: killed, failure } = await flexProcess(args, { signal, log: 'ignore', onLine });
    signal.throwIfAborted();
    if (code !== exitCode.done) {
      const message = `a run of the arm ${run.arm}: ${failure?.message ?? `ended with ${killed ?? `exit code ${code}`}`}`;
      throw failure?.exit_code === exitCode.wrongUsage ? new ConfigError(message) : new Error(message);
    }
    return costOf(seen, { evaluations: evaluationsOf(run, seen[0].of), whole: elapsed() });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Evaluations of a run with held-out data, that before the first update aside. */
function evaluationsOf({ config: { eval: heldOut, train } }: PlannedRun, updates: number): number {
  if (heldOut.length === 0) return 0;
  return train.evalEvery > 0 ? Math.ceil(updates / train.evalEvery) : 1;
}

/** The cost of a run from the times of its first updates, the last of which has an evaluation. */
export function costOf(
  seen: readonly Seen[],
  { evaluations, whole }: { readonly evaluations: number; readonly whole: number },
): RunCost {
  const [first, last] = [seen[0], seen[seen.length - 1]];
  const { memoryBytes, of } = last;
  if (of <= seen.length || seen.length < 3) return { seconds: whole, memoryBytes };
  const before = seen[seen.length - 2];
  const update = (before.at - first.at) / (seen.length - 2);
  const evaluation = evaluations > 0 ? Math.max(0, last.at - before.at - update) : 0;
  // What the probe had of both, and the rest of them.
  const had = { updates: seen.length, evaluations: evaluations > 0 ? 1 : 0 };
  const rest = (of - had.updates) * update + (evaluations - had.evaluations) * evaluation;
  return { seconds: whole + rest, memoryBytes };
}
