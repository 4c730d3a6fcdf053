import type { JudgeProgress } from '@flex/judge';
import { duration } from './duration.ts';
import { newLiveLine } from './live-line.ts';

/** Shows how an evaluation goes: one live line on a terminal, a plain line now and then elsewhere. */
export interface EvalProgress {
  generated(done: number, total: number): void;
  judged(progress: JudgeProgress): void;
  stop(): void;
}

/** Progress on standard error. */
export function newEvalProgress(quiet: boolean): EvalProgress {
  const { show, stop } = newLiveLine(quiet);
  let rate = newRate();
  return {
    generated(done, total) {
      show(done, total, describeGenerated(done, total, rate(done, 0)));
      if (done === total) stop();
    },
    judged(progress) {
      const { done, total, cached } = progress;
      if (done === cached) rate = newRate();
      show(done, total, describeJudged(progress, rate(done, cached)));
    },
    stop,
  };
}

/** The words of `generated 12/164  0.8/s  3 min 10 s left`. */
export function describeGenerated(done: number, total: number, perSecond: number): string[] {
  return [`generated ${done}/${total}`, ...speed(total - done, perSecond)];
}

/** The words of `judged 120/164  96 passed  41.2/s  1 s left`. */
export function describeJudged({ done, total, passed }: JudgeProgress, perSecond: number): string[] {
  return [`judged ${done}/${total}`, `${passed} passed`, ...speed(total - done, perSecond)];
}

function speed(left: number, perSecond: number): string[] {
  return perSecond > 0 ? [`${perSecond.toPrecision(3)}/s`, `${duration(left / perSecond)} left`] : [];
}

/** Things done a second since the first call, without those that were there already. */
function newRate(): (done: number, before: number) => number {
  const started = performance.now();
  return (done, before) => ((done - before) * 1000) / Math.max(performance.now() - started, 1);
}
