import type { CausalLM } from '@flex/llama';
import type { Adapters, LoraConfig } from '@flex/peft';
import type { TrainConfig } from './config.ts';
import { named } from './named-error.ts';
import type { RunInfo, RunSummary, StepMetrics } from './run.ts';

/** A run as its callbacks see it. Its tensors are the run's: keep none, free none. */
export interface RunContext {
  readonly config: TrainConfig;
  readonly info: RunInfo;
  readonly model: CausalLM;
  readonly lora: LoraConfig;
  /** The adapter after the last update. */
  readonly adapters: Adapters;
  /** Updates done. */
  readonly step: number;
  /** The line of this update as far as it is known; null before the first update of this process. */
  readonly metrics: StepMetrics | null;
  /**
   * The lines of updates that are written, also those from before the run was resumed: what a callback
   * remembers, it reads here.
   */
  readonly history: readonly StepMetrics[];
  /**
   * Adds columns to the line of this update, or before the first to its line: in metrics.jsonl, in
   * TensorBoard, on the command line. The last of a name counts. Throws ConfigError for a column of the
   * run's own or that its parts have given the update, and once the line is written.
   */
  log(columns: Readonly<Record<string, number>>): void;
  /**
   * Ends the run after this update, as if it had been the last. Throws ConfigError once the line is written.
   */
  stop(reason: string): void;
}

/**
 * What is called as a run goes on; each call is waited for. A callback sees everything and changes nothing
 * that decides an update. One that keeps what it needs in `history` alone goes on as it was when a run is
 * resumed.
 */
export interface Callback {
  /** Before the first update of this process, and before its first evaluation. */
  onStart?(run: RunContext): void | Promise<void>;
  /** After each update, and after its evaluation where it had one. */
  onUpdate?(run: RunContext): void | Promise<void>;
  /** When the line of an update is written: all its columns, for whoever shows or sends them elsewhere. */
  onLine?(run: RunContext, line: StepMetrics): void | Promise<void>;
  /**
   * After each evaluation on the held-out data: losses by name, nats a token. One is before the first update
   * of the run, and not made again where it is resumed.
   */
  onEval?(run: RunContext, losses: Readonly<Record<string, number>>): void | Promise<void>;
  /** After everything is written, also where the run was stopped or interrupted. */
  onEnd?(run: RunContext, summary: RunSummary): void | Promise<void>;
}

/** The methods that a callback may have. */
export const callbackEvents = [
  'onStart',
  'onUpdate',
  'onLine',
  'onEval',
  'onEnd',
] as const satisfies readonly (keyof Callback)[];

/** The same callback, whose errors begin with its title. */
export function namedCallback(title: string, callback: Callback): Callback {
  const call = (event: keyof Callback) => (run: RunContext, result: never) =>
    named(`${title}, ${event}`, () => callback[event]?.(run, result));
  return Object.fromEntries(callbackEvents.map((event) => [event, call(event)])) as Callback;
}
