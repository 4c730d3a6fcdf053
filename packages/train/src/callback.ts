import type { LlamaModel } from '@flex/llama';
import type { LoraConfig, Parameters } from '@flex/peft';
import type { TrainConfig } from './config.ts';
import type { RunInfo, RunSummary, StepMetrics } from './run.ts';

/** A run as its callbacks see it. Its tensors are the run's: keep none, free none. */
export interface RunContext {
  readonly config: TrainConfig;
  readonly info: RunInfo;
  readonly model: LlamaModel;
  readonly lora: LoraConfig;
  /** The adapter after the last update. */
  readonly adapters: Parameters;
  /** Updates done. */
  readonly step: number;
  /** The line of this update as far as it is known; null before the first update of this process. */
  readonly metrics: StepMetrics | null;
  /** The lines before it, also those from before the run was resumed: what a callback remembers, it reads here. */
  readonly history: readonly StepMetrics[];
  /**
   * Adds columns to the line of this update, or of the next one: in metrics.jsonl, in TensorBoard, on the command
   * line. Throws ConfigError for a column that is there already, and once the last line is written.
   */
  log(columns: Readonly<Record<string, number>>): void;
  /** Ends the run after this update, as if it had been the last. */
  stop(reason: string): void;
}

/**
 * What is called as a run goes on; each call is waited for. A callback sees everything and changes nothing that
 * decides an update. One that keeps what it needs in `history` alone goes on as it was when a run is resumed.
 */
export interface Callback {
  /** Before the first update of this process, and before the first evaluation. */
  onStart?(run: RunContext): void | Promise<void>;
  /** After each update, and after its evaluation where it had one. */
  onUpdate?(run: RunContext): void | Promise<void>;
  /** After each evaluation on the held-out data: losses by name, nats a token. */
  onEval?(run: RunContext, losses: Readonly<Record<string, number>>): void | Promise<void>;
  /** After everything is written, also where the run was stopped or interrupted. */
  onEnd?(run: RunContext, summary: RunSummary): void | Promise<void>;
}

const events = ['onStart', 'onUpdate', 'onEval', 'onEnd'] as const;

/** The same callback, whose errors say its name. */
export function namedCallback(name: string, callback: Callback): Callback {
  const named = (event: (typeof events)[number]) => async (run: RunContext, result: never) => {
    try {
      await callback[event]?.(run, result);
    } catch (cause) {
      throw new Error(`callback "${name}", ${event}: ${(cause as Error).message}`, { cause });
    }
  };
  return Object.fromEntries(events.map((event) => [event, named(event)]));
}
