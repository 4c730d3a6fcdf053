import { join } from 'node:path';
import { systemErrorOf } from '@flex/base';
import { writeAdapter } from '@flex/peft';
import { eachTensor, openReference } from '@flex/tensor';
import { bestUpdate, evaluationsSinceBest } from './best-update.ts';
import type { Callback } from './callback.ts';
import { pruneCheckpoints, saveCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { deviceFailed } from './device-failed.ts';
import { doesNotFit } from './does-not-fit.ts';
import { heldOutLosses } from './evaluate.ts';
import { warningsOf } from './health.ts';
import { lockRun } from './lock-run.ts';
import { diagnosticsOf, makeUpdate } from './make-update.ts';
import { type PreparedRun, type PrepareOptions, prepare } from './prepare.ts';
import type { BaselineLine, RunSummary } from './run.ts';
import { openRunState } from './run-state.ts';
import { spectrumFile, spectrumLog } from './spectrum-log.ts';
import { summaryOf } from './summary.ts';
import { tensorBoard } from './tensorboard.ts';
import { snapshotOf, type TrainedTensors } from './trainee.ts';

export interface TrainOptions extends PrepareOptions {
  /**
   * Aborted: finish the update, write everything, return. While the model is loaded: reject with its reason,
   * with nothing written.
   */
  readonly signal?: AbortSignal;
  /** The update after which the run is left as by the signal. */
  readonly until?: number;
  /** Called after those of the configuration. */
  readonly callbacks?: readonly Callback[];
}

/**
 * Fine-tunes an adapter as the configuration says, and writes the run's folder. The same configuration gives
 * the same adapter, to the bit, on one device, whether interrupted and resumed or not. Throws ConfigError or
 * DataError, before anything is written, for what is wrong with the configuration, the model, the adapter or
 * the data. Throws OutOfMemoryError where an update does not fit the device, with those before it saved.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<RunSummary> {
  const lock = lockRun(config, options);
  try {
    const prepared = await prepare(config, options, lock).catch((error) => {
      throw doesNotFit(error, config.train.checkpointActivations === true, 'no update was made');
    });
    return 'status' in prepared ? prepared : await run(prepared, options);
  } finally {
    lock.release();
  }
}

async function run(
  prepared: PreparedRun,
  { signal, until = Infinity, callbacks: further = [] }: TrainOptions,
): Promise<RunSummary> {
  const { config, folder, setup, trainee, heldOut, plan, info } = prepared;
  const { evalEvery, saveEvery, keepCheckpoints, bestBy, patience } = config.train;
  const writers = [
    tensorBoard(join(config.out, 'tensorboard')),
    spectrumLog(join(config.out, spectrumFile), setup.lora.removed),
  ];
  const callbacks = [...prepared.callbacks, ...writers, ...further];
  const state = openRunState(prepared);
  const { context, history } = state;
  /** Updates of the newest checkpoint. */
  let saved = info.done;
  /** After the last update that is told. */
  let told = trainee.snapshot;
  /**
   * What there is of the last update: its parameters, its held-out losses, some of its lines, or all of it.
   */
  let stage: 'made' | 'examined' | 'told' | 'whole' = 'whole';

  // What is written is what the host has: a device that failed is not asked.
  const host = openReference();
  const removed = setup.lora.removed && (await snapshotOf(setup.lora.removed));
  const lora = { ...setup.lora, removed: removed?.on(host) ?? null };
  const writing = async (write: (trained: TrainedTensors) => Promise<void>) => {
    const trained = told.on(host);
    await write(trained);
    eachTensor(trained, (t) => t.dispose());
  };
  const save = async (step = state.step) => {
    folder.sync();
    await writing((trained) =>
      saveCheckpoint(config.out, { ...trained, step, run: folder.runDigest }, lora, config.model),
    );
    saved = step;
    const best = bestUpdate(history, bestBy)?.step ?? null;
    if (keepCheckpoints !== null) pruneCheckpoints(config.out, keepCheckpoints, best);
  };
  const writeResult = () =>
    writing(({ params, whole }) => {
      const options = { baseModel: config.model, whole, removed: lora.removed };
      return writeAdapter(join(config.out, 'adapter'), params, lora.config, options);
    });
  /** The held-out losses before the first update, which a run that goes on has in its metrics. */
  const begin = async () => {
    for (const callback of callbacks) await callback.onStart?.(context);
    if (heldOut.length === 0 || state.step > 0) return;
    state.baseline = await heldOutLosses(prepared, 0);
    const line: BaselineLine = { step: 0, epoch: 0, eval: state.baseline };
    folder.appendMetrics(line);
    for (const callback of callbacks) await callback.onEval?.(context, state.baseline);
  };
  const examine = async () => {
    stage = 'made';
    state.line = { ...state.line!, ...(await diagnosticsOf(prepared)) };
    if (heldOut.length > 0) {
      const losses = await heldOutLosses(prepared, state.step);
      state.line = { ...state.line, eval: losses };
      for (const callback of callbacks) await callback.onEval?.(context, losses);
    }
    const lines = [...history, state.line];
    if (patience !== null && evaluationsSinceBest(lines, bestBy) >= patience) {
      state.stopped ??= `no lower ${bestBy ?? 'mean held-out'} loss in ${patience} evaluations`;
    }
  };
  /** Writes all that is told of the update. */
  const tell = async () => {
    stage = 'told';
    const line = state.endLine();
    folder.appendMetrics(line);
    for (const callback of callbacks) await callback.onLine?.(context, line);
    stage = 'whole';
    told = trainee.snapshot;
  };
  const updates = async () => {
    while (state.step < Math.min(plan.steps, until) && state.stopped === null && !signal?.aborted) {
      const made = await makeUpdate(prepared, state.step + 1);
      stage = 'made';
      state.beginLine(made);
      state.line = { ...made, ...(await warningsOf(prepared, made, history)) };
      const isLast = state.step === plan.steps;
      const isTimely = isLast || (evalEvery > 0 && state.step % evalEvery === 0);
      if (isTimely) await examine();
      stage = 'examined';
      for (const callback of callbacks) await callback.onUpdate?.(context);
      if (state.stopped !== null && !isTimely) await examine();
      await tell();
      const isEnd = isLast || state.stopped !== null;
      const isBest = state.line?.eval !== undefined && bestUpdate(history, bestBy)?.step === state.step;
      if (saveEvery > 0 && (state.step % saveEvery === 0 || isEnd || isBest)) await save();
    }
  };
  const end = async () => {
    const isInterrupted = state.step < plan.steps && state.stopped === null;
    if (isInterrupted && state.step > saved) await save();
    await writeResult();
    const summary = summaryOf(prepared, state, { status: isInterrupted ? 'interrupted' : 'done' });
    folder.finish(summary);
    return summary;
  };

  /** Saves the last update that is told where an error ends the run, and says in words what is saved. */
  const salvage = async (): Promise<string> => {
    // One that is to be the last may lack the losses of the end.
    if (stage === 'examined' && state.stopped === null) await tell();
    const whole = stage === 'whole' ? state.step : state.step - 1;
    if (whole <= 0) return 'no update was made';
    await writeResult();
    if (whole > saved) await save(whole);
    return `${whole} update${whole === 1 ? ' is' : 's are'} saved`;
  };
  /** Records that the run failed, as far as the disk lets it, and gives the error to end with. */
  const failed = async (error: unknown): Promise<unknown> => {
    let ending = error;
    try {
      const recomputesAll = setup.checkpointActivations >= setup.model.config.layers;
      const words = await salvage();
      ending = doesNotFit(deviceFailed(error, words), recomputesAll, words);
      folder.finish(summaryOf(prepared, state, { status: 'failed', error: lineOf(error) }));
    } catch (second) {
      const message = `${lineOf(ending)}; and this could not be recorded: ${lineOf(second)}`;
      return new Error(message, { cause: ending });
    }
    return systemErrorOf(error) ? new Error(lineOf(error), { cause: error }) : ending;
  };

  const summary = await begin()
    .then(updates)
    .then(end)
    .catch(async (error) => {
      throw await failed(error);
    });
  for (const callback of callbacks) await callback.onEnd?.(context, summary);
  return summary;
}

function lineOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0];
}
