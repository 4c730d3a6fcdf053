import type { JudgeProgress } from '@flex/judge';
import { chalkStderr } from 'chalk';
import cliProgress from 'cli-progress';
import { duration } from './progress.ts';

/** Shows how an evaluation goes: one live line on a terminal, a plain line now and then elsewhere. */
export interface EvalProgress {
  generated(done: number, total: number): void;
  judged(progress: JudgeProgress): void;
  stop(): void;
}

/** Progress on standard error. */
export function newEvalProgress(quiet: boolean): EvalProgress {
  if (quiet) return { generated: () => {}, judged: () => {}, stop: () => {} };
  const line = process.stderr.isTTY ? liveLine() : plainLine();
  let rate = newRate();
  return {
    generated: (done, total) => line.show(done, total, describeGenerated(done, total, rate(done, 0))),
    judged(progress) {
      const { done, total, cached } = progress;
      if (done === cached) rate = newRate();
      line.show(done, total, describeJudged(progress, rate(done, cached)));
    },
    stop: line.stop,
  };
}

/** `generated 12/164  0.8/s  3 min 10 s left`. */
export function describeGenerated(done: number, total: number, perSecond: number): string {
  return [`generated ${done}/${total}`, ...speed(total - done, perSecond)].join('  ');
}

/** `judged 120/164  96 passed  41.2/s  1 s left`. */
export function describeJudged({ done, total, passed }: JudgeProgress, perSecond: number): string {
  return [`judged ${done}/${total}`, `${passed} passed`, ...speed(total - done, perSecond)].join('  ');
}

function speed(left: number, perSecond: number): string[] {
  return perSecond > 0 ? [`${perSecond.toPrecision(3)}/s`, `${duration(left / perSecond)} left`] : [];
}

/** Things done a second since the first call, without those that were there already. */
function newRate(): (done: number, before: number) => number {
  const started = performance.now();
  return (done, before) => ((done - before) * 1000) / Math.max(performance.now() - started, 1);
}

interface Line {
  show(done: number, total: number, text: string): void;
  stop(): void;
}

function liveLine(): Line {
  let bar: cliProgress.SingleBar | null = null;
  let shownTotal = 0;
  const stop = () => {
    bar?.stop();
    bar = null;
  };
  return {
    show(done, total, text) {
      if (total !== shownTotal) stop();
      shownTotal = total;
      if (bar === null) {
        bar = new cliProgress.SingleBar({
          format: `${chalkStderr.cyan('{bar}')} {text}`,
          barCompleteChar: '━',
          barIncompleteChar: '─',
          barsize: 20,
          hideCursor: true,
          gracefulExit: false,
        });
        bar.start(total, done, { text });
      } else bar.update(done, { text });
    },
    stop,
  };
}

/** A line at most every two seconds, and at the last. */
function plainLine(): Line {
  let shown = Number.NEGATIVE_INFINITY;
  return {
    show(done, total, text) {
      const now = performance.now();
      if (now - shown < 2000 && done !== total) return;
      shown = now;
      process.stderr.write(`${text}\n`);
    },
    stop() {},
  };
}
