import type { LoadProgress } from '@flex/llama';
import type { StepMetrics } from '@flex/train';
import { duration } from './duration.ts';
import { type LiveLine, newLiveLine } from './live-line.ts';
import { newLoadProgress } from './load-progress.ts';

/** Shows how a run goes: one live line on a terminal, a plain line now and then elsewhere. */
export interface Progress extends Omit<LiveLine, 'show'> {
  /** How the model is loaded. */
  load(progress: LoadProgress): void;
  step(metrics: StepMetrics, total: number): void;
}

/** Progress on standard error. */
export function newProgress(quiet: boolean): Progress {
  const { show, ...live } = newLiveLine(quiet);
  const timeLeft = newClock();
  return {
    ...live,
    load: newLoadProgress({ show, stop: live.stop }),
    step: (metrics, total) =>
      show(metrics.step, total, [...describeStep(metrics, total), `${timeLeft(metrics, total)} left`]),
  };
}

/**
 * The words of `step 12/60  loss 2.104  penalty 1.62  grad 0.81  812 tok/s  212 MiB`, where there are several penalties with
 * each by its label in place of their sum, `fourier 1.62  l2 40.1`.
 */
export function describeStep(m: StepMetrics, total: number): string[] {
  return [
    `step ${m.step}/${total}`,
    `loss ${m.loss.toFixed(3)}`,
    ...penaltiesOf(m).map(([name, penalty]) => `${name} ${penalty.toPrecision(3)}`),
    `grad ${m.grad_norm.toPrecision(3)}`,
    `${m.tokens_per_second.toFixed(0)} tok/s`,
    `${(m.memory_bytes / 2 ** 20).toFixed(0)} MiB`,
  ];
}

function penaltiesOf(m: StepMetrics): [name: string, penalty: number][] {
  const own = Object.entries(m).flatMap(([key, value]): [string, number][] =>
    key.startsWith('penalty.') ? [[key.slice('penalty.'.length), Number(value)]] : [],
  );
  return own.length > 1 ? own : [['penalty', m.penalty]];
}

/** Tells the time left from the mean time of the updates it has seen. */
function newClock(): (metrics: StepMetrics, total: number) => string {
  let seconds = 0;
  let updates = 0;
  return (metrics, total) => {
    seconds += metrics.seconds;
    updates++;
    return duration(((total - metrics.step) * seconds) / updates);
  };
}
