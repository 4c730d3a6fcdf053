import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { digestJson } from '@flex/base';
import { bestUpdate } from './best-update.ts';
import { checkpointPath } from './checkpoint.ts';
import type { PreparedRun } from './prepare.ts';
import type { RunSummary, StepMetrics } from './run.ts';
import type { RunLength } from './run-length.ts';
import type { RunState } from './run-state.ts';

/** SHA-256 of everything that decides a run's numbers: what `runDigest` is of, and how many updates it has. */
export function digestOfRun(runDigest: string, { steps, extended }: RunLength): string {
  return digestJson({ run: runDigest, steps, extended });
}

/** A run's summary, of all its lines. */
export function summaryOf(
  { config, folder, setup, length }: PreparedRun,
  { history, baseline, stopped }: Pick<RunState, 'history' | 'baseline' | 'stopped'>,
  { status, error }: Pick<RunSummary, 'status' | 'error'>,
): RunSummary {
  const { out } = config;
  const total = (of: (line: StepMetrics) => number) => history.reduce((sum, line) => sum + of(line), 0);
  const [tokens, seconds] = [total((line) => line.tokens), total((line) => line.seconds)];
  const curvatureSeconds = total((line) => line.curvature_seconds ?? 0);
  const losses = status === 'done' ? Object.entries(history.at(-1)?.eval ?? {}) : [];
  const best = bestUpdate(history, config.train.bestBy);
  const ofBest = best && join(checkpointPath(out, best.step), 'adapter');
  const peak = Math.max(setup.model.backend.stats.peakBytes, ...history.map((line) => line.memory_bytes));
  return {
    status,
    ...(error !== undefined && { error }),
    digest: digestOfRun(folder.runDigest, length),
    steps: history.length,
    ...(stopped !== null && { stopped }),
    out,
    adapter: join(out, 'adapter'),
    eval: Object.fromEntries(losses.map(([name, after]) => [name, { before: baseline![name], after }])),
    ...(best && ofBest && { best: { ...best, adapter: existsSync(ofBest) ? ofBest : null } }),
    loss: { first: history.at(0)?.loss ?? null, last: history.at(-1)?.loss ?? null },
    tokens,
    seconds,
    tokens_per_second: seconds > 0 ? tokens / seconds : 0,
    ...(setup.optimizer.curvature && seconds > 0 && { curvature_share: curvatureSeconds / seconds }),
    peak_memory_bytes: peak,
    provenance: folder.provenance(),
  };
}
