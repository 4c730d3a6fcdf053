import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import type { RunContext } from './callback.ts';
import { readMetrics } from './metrics-log.ts';
import type { PreparedRun } from './prepare.ts';
import { lineColumns, type StepMetrics } from './run.ts';

/** Where a run stands, and what its callbacks have said. */
export interface RunState {
  /** The run as its callbacks see it. */
  readonly context: RunContext;
  /** The lines that are written, also those from before the run was resumed. */
  readonly history: readonly StepMetrics[];
  /** Updates done. */
  step: number;
  /** The line of this update. */
  line: StepMetrics | null;
  /** Why a callback ends the run. */
  stopped: string | null;
  /** Takes the line of the update that was just made. */
  beginLine(line: StepMetrics): void;
  /** Gives the line its logged columns, and puts it behind the others. */
  endLine(): StepMetrics;
}

export function openRunState({ config, info, setup, trainee }: PreparedRun): RunState {
  const history = readMetrics(join(config.out, 'metrics.jsonl')) as StepMetrics[];
  let logged: Record<string, number> = {};
  let isWritten = false;
  const beforeLine = (what: string) => {
    if (isWritten) throw new ConfigError(`${what}: the line is written; call it in onUpdate or onEval`);
  };
  const state: RunState = {
    history,
    step: info.done,
    line: null,
    stopped: null,
    beginLine(line) {
      state.step = line.step;
      state.line = line;
      isWritten = false;
    },
    endLine() {
      const line = { ...state.line!, ...logged };
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
        const taken = Object.keys(columns).find((key) => lineColumns.includes(key as never));
        if (taken) throw new ConfigError(`log: the column ${taken} is the run's own`);
        beforeLine('log');
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
