import { printable } from '@flex/base';
import type { StepMetrics } from '@flex/train';
import { chalkStderr } from 'chalk';
import cliProgress from 'cli-progress';

/** Shows how a run goes: one live line on a terminal, a plain line now and then elsewhere. */
export interface Progress {
  step(metrics: StepMetrics, total: number): void;
  /** A line of its own, above the live one, made printable. */
  line(text: string): void;
  /** Makes room for another's line: the live one is shown again at the next step. */
  clear(): void;
  stop(): void;
}

/** Progress on standard error. */
export function newProgress(quiet: boolean): Progress {
  if (quiet) return { step: () => {}, line: () => {}, clear: () => {}, stop: () => {} };
  return process.stderr.isTTY ? liveProgress() : plainProgress();
}

/**
 * `step 12/60  loss 2.104  penalty 1.62  grad 0.81  812 tok/s  212 MiB`, where there are several penalties with
 * each by its label in place of their sum, `fourier 1.62  l2 40.1`.
 */
export function describeStep(m: StepMetrics, total: number): string {
  return [
    `step ${m.step}/${total}`,
    `loss ${m.loss.toFixed(3)}`,
    ...penaltiesOf(m).map(([name, penalty]) => `${name} ${penalty.toPrecision(3)}`),
    `grad ${m.grad_norm.toPrecision(3)}`,
    `${m.tokens_per_second.toFixed(0)} tok/s`,
    `${(m.memory_bytes / 2 ** 20).toFixed(0)} MiB`,
  ].join('  ');
}

function penaltiesOf(m: StepMetrics): [name: string, penalty: number][] {
  const own = Object.entries(m).flatMap(([key, value]): [string, number][] =>
    key.startsWith('penalty.') ? [[key.slice('penalty.'.length), Number(value)]] : [],
  );
  return own.length > 0 ? own : [['penalty', m.penalty]];
}

function liveProgress(): Progress {
  const bar = new cliProgress.SingleBar({
    format: `${chalkStderr.cyan('{bar}')} {text}  {left} left`,
    barCompleteChar: '━',
    barIncompleteChar: '─',
    barsize: 20,
    hideCursor: true,
    gracefulExit: false,
  });
  const timeLeft = newClock();
  let started = false;
  const clear = () => {
    if (started) process.stderr.write('\r\u001b[K');
  };
  return {
    clear,
    step(metrics, total) {
      const payload = { text: describeStep(metrics, total), left: timeLeft(metrics, total) };
      if (started) bar.update(metrics.step, payload);
      else bar.start(total, metrics.step, payload);
      started = true;
    },
    line(text) {
      clear();
      process.stderr.write(`${printable(text)}\n`);
    },
    stop() {
      if (started) bar.stop();
    },
  };
}

/** A line at the first step, then at most every two seconds, and at the last. */
function plainProgress(): Progress {
  const timeLeft = newClock();
  let shown = Number.NEGATIVE_INFINITY;
  return {
    step(metrics, total) {
      const left = timeLeft(metrics, total);
      const now = performance.now();
      if (now - shown < 2000 && metrics.step !== total) return;
      shown = now;
      process.stderr.write(`${describeStep(metrics, total)}  ${left} left\n`);
    },
    line: (text) => void process.stderr.write(`${printable(text)}\n`),
    clear() {},
    stop() {},
  };
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

/** `1 h 02 min`, `3 min 05 s` or `12 s`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, '0');
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${two(s % 60)} s` : `${s} s`;
}
