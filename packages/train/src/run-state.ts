import { join } from 'node:path';
import { ConfigError, DataError } from '@flex/base';
import type { RunContext } from './callback.ts';
import { readMetrics } from './metrics-log.ts';
import type { PreparedRun } from './prepare.ts';
import { type BaselineLine, isRunColumn, type StepMetrics } from './run.ts';

/** Where a run stands, and what its callbacks have said. */
export interface RunState {
  /** The run as its callbacks see it. */
  readonly context: RunContext;
  /** The lines of updates that are written, also those from before the run was resumed. */
  readonly history: readonly StepMetrics[];
  /** Held-out losses before the first update; null where there are none. */
  baseline: BaselineLine['eval'] | null;
  /** Updates done. */
  step: number;
  /** The line of this update. */
  line: StepMetrics | null;
  /** Why the run ends before its last update. */
  stopped: string | null;
  /** Takes the line of the update that was just made. */
  beginLine(line: StepMetrics): void;
  /** Gives the line its logged columns, and puts it behind the others. */
  endLine(): StepMetrics;
}

/**
 * The state of a run that begins or goes on. Throws DataError where the metrics lack an update that was done.
 */
export function openRunState({ config, info, heldOut, setup, trainee }: PreparedRun): RunState {
  const file = join(config.out, 'metrics.jsonl');
  const lines = readMetrics(file);
  const { done } = info;
  const from = heldOut.length > 0 ? 0 : 1;
  const count = done === 0 ? 0 : done + 1 - from;
  const place = Array.from(lines, ({ step }, i) => step === from + i).indexOf(false);
  const wrong = place < 0 ? Math.min(lines.length, count) : place;
  if (place >= 0 || lines.length !== count) {
    throw new DataError(
      `${file}: must have a line of each update from ${from} to ${done}, that of the checkpoint, in order; ` +
        `line ${wrong + 1} is none; remove checkpoints after update ${Math.max(0, from + wrong - 1)}, or give --overwrite`,
    );
  }
  const first = from === 0 && done > 0 ? (lines[0] as BaselineLine) : null;
  const history = lines.slice(count - done) as StepMetrics[];
  let logged: Record<string, number> = {};
  let isWritten = false;
  const beforeLine = (what: string) => {
    if (isWritten) throw new ConfigError(`${what}: the line is written; call it in onUpdate or onEval`);
  };
  const state: RunState = {
    history,
    baseline: first?.eval ?? null,
    step: info.done,
    line: null,
    stopped: history.at(-1)?.stopped ?? null,
    beginLine(line) {
      state.step = line.step;
      state.line = line;
      isWritten = false;
    },
    endLine() {
      const { stopped } = state;
      const line = { ...state.line!, ...logged, ...(stopped !== null && { stopped }) };
      state.line = line;
      logged = {};
      isWritten = true;
      history.push(line);
      return line;
    },
    context: {
      config,
      info,
      history,
      model: setup.model,
      lora: setup.lora.config,
      get adapters() {
        return trainee.params;
      },
      get step() {
        return state.step;
      },
      get metrics() {
        return state.line && { ...state.line, ...logged };
      },
      log(columns) {
        beforeLine('log');
        const { line } = state;
        const taken = Object.keys(columns).find(
          (name) => isRunColumn(name) || (line !== null && name in line),
        );
        if (taken) throw new ConfigError(`log: the column ${taken} is the run's own`);
        logged = { ...logged, ...columns };
      },
      stop(reason) {
        beforeLine('stop');
        state.stopped ??= reason;
      },
    },
  };
  return state;
}
