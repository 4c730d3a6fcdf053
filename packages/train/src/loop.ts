import { join } from 'node:path';
import { ConfigError } from '@flex/base';
import { withLora, writeAdapter } from '@flex/peft';
import { eachTensor, keep } from '@flex/tensor';
import type { Callback, RunContext } from './callback.ts';
import { saveCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { collate } from './data/batches.ts';
import { meanLoss } from './evaluate.ts';
import { readMetrics } from './metrics-log.ts';
import { type PreparedRun, type PrepareOptions, prepare } from './prepare.ts';
import { lineColumns, type RunSummary, type StepMetrics } from './run.ts';
import { tensorBoard } from './tensorboard.ts';
import { update } from './update.ts';

export interface TrainOptions extends PrepareOptions {
  /** Aborted: finish the update, write everything, return. */
  readonly signal?: AbortSignal;
  /** Called after those of the configuration; `onUpdate` when the update's line is written, its columns all known. */
  readonly callbacks?: readonly Callback[];
}

/**
 * Fine-tunes an adapter as the configuration says, and writes the run's folder. The same configuration gives
 * the same adapter, to the bit, on one device, whether interrupted and resumed or not. Throws ConfigError or
 * DataError, before anything is written, for what is wrong with the configuration, the model, the adapter or
 * the data.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<RunSummary> {
  const prepared = await prepare(config, options);
  return 'status' in prepared ? prepared : run(prepared, options);
}

async function run(
  prepared: PreparedRun,
  { signal, callbacks: watchers = [] }: TrainOptions,
): Promise<RunSummary> {
  const { config, info, folder, setup, trainee, heldOut, plan, callbacks } = prepared;
  const { evalEvery, saveEvery } = config.train;
  const observers = [tensorBoard(join(config.out, 'tensorboard')), ...watchers];
  const all = [...callbacks, ...observers];
  const position = openPosition(prepared);
  const { context } = position;
  const started = performance.now();
  const save = () =>
    saveCheckpoint(
      config.out,
      { ...trainee, step: position.step, run: folder.runDigest },
      setup.lora,
      config.model,
    );
  const evaluate = async () => {
    if (heldOut.length === 0) return {};
    const losses = await heldOutLosses(prepared);
    if (position.line) position.line = { ...position.line, eval: losses };
    for (const callback of all) await callback.onEval?.(context, losses);
    return losses;
  };
  const examine = async () => {
    position.line = { ...position.line!, ...(await diagnosticsOf(prepared)) };
    return evaluate();
  };

  for (const callback of all) await callback.onStart?.(context);
  const before = await evaluate();
  let after = before;
  while (position.step < plan.steps && position.stopped === undefined && !signal?.aborted) {
    position.step++;
    position.line = await oneUpdate(prepared, position.step);
    const last = position.step === plan.steps;
    const timely = last || (evalEvery > 0 && position.step % evalEvery === 0);
    if (timely) after = await examine();
    for (const callback of callbacks) await callback.onUpdate?.(context);
    if (position.stopped !== undefined && !timely) after = await examine();
    folder.appendMetrics(position.write());
    for (const callback of observers) await callback.onUpdate?.(context);
    if (saveEvery > 0 && position.step % saveEvery === 0 && !last) await save();
  }
  const interrupted = position.step < plan.steps && position.stopped === undefined;
  if (interrupted) await save();
  const adapter = join(config.out, 'adapter');
  await writeAdapter(adapter, trainee.params, setup.lora, { baseModel: config.model });
  const lines = position.history.filter(({ step }) => step > info.done);
  const tokens = lines.reduce((sum, line) => sum + line.tokens, 0);
  const trainSeconds = lines.reduce((sum, line) => sum + line.seconds, 0);
  const summary: RunSummary = {
    status: interrupted ? 'interrupted' : 'done',
    digest: folder.runDigest,
    steps: position.step,
    ...(position.stopped !== undefined && { stopped: position.stopped }),
    out: config.out,
    adapter,
    eval: interrupted
      ? {}
      : Object.fromEntries(
          Object.keys(before).map((name) => [name, { before: before[name], after: after[name] }]),
        ),
    loss: { first: lines.at(0)?.loss ?? null, last: lines.at(-1)?.loss ?? null },
    tokens,
    seconds: (performance.now() - started) / 1000,
    tokens_per_second: trainSeconds > 0 ? tokens / trainSeconds : 0,
    peak_memory_bytes: setup.model.backend.stats.peakBytes,
  };
  folder.finish(summary);
  for (const callback of all) await callback.onEnd?.(context, summary);
  return summary;
}

/** Where a run stands, and what its callbacks have said. */
interface Position {
  readonly context: RunContext;
  readonly history: readonly StepMetrics[];
  step: number;
  /** The line of this update; after `write` with all its columns. */
  line: StepMetrics | null;
  stopped: string | undefined;
  /** The line with the columns that were logged for it. */
  write(): StepMetrics;
}

function openPosition({ config, info, setup, trainee }: PreparedRun): Position {
  const history = readMetrics(join(config.out, 'metrics.jsonl')) as StepMetrics[];
  let logged: Record<string, number> = {};
  const position: Position = {
    history,
    step: info.done,
    line: null,
    stopped: undefined,
    write() {
      const line = { ...position.line!, ...logged };
      position.line = line;
      logged = {};
      history.push(line);
      return line;
    },
    context: {
      ...{ config, info, history, model: setup.model, lora: setup.lora },
      get adapters() {
        return trainee.params;
      },
      get step() {
        return position.step;
      },
      get metrics() {
        return position.line && { ...position.line, ...logged };
      },
      log(columns) {
        const known = { ...position.line, ...logged };
        const taken = Object.keys(columns).find((key) => key in known || lineColumns.includes(key as never));
        if (taken) throw new ConfigError(`log: there is a column ${taken} already`);
        logged = { ...logged, ...columns };
      },
      stop(reason) {
        position.stopped ??= reason;
      },
    },
  };
  return position;
}

/** What the regularizers tell of the adapter, such as the share of its power at low frequencies. */
async function diagnosticsOf({ setup, trainee }: PreparedRun): Promise<Record<string, number>> {
  const all = await Promise.all(
    setup.regularizers.map(({ regularizer }) => regularizer.diagnostics?.(trainee.params) ?? {}),
  );
  return Object.assign({}, ...all);
}

async function heldOutLosses({
  config,
  setup,
  trainee,
  heldOut,
}: PreparedRun): Promise<Record<string, number>> {
  const losses: Record<string, number> = {};
  const linear = withLora(setup.model.linear, trainee.params, setup.lora);
  for (const set of heldOut) {
    losses[set.name] = await meanLoss(setup.model, set.batches(config.train.batchSize), linear);
  }
  return losses;
}

/** Runs update `step` on its batches and puts the new parameters and state in place of the old ones. */
async function oneUpdate(
  { setup, trainee, data, plan, schedule }: PreparedRun,
  step: number,
): Promise<StepMetrics> {
  const started = performance.now();
  const lr = setup.optimizer.lr * schedule(step - 1);
  const batches = plan.batches(step).map((indices) => collate(indices.map((i) => data.examples[i])));
  const { params, state, loss, penalty, gradNorm } = keep(update(setup, { ...trainee, batches, step, lr }));
  eachTensor([trainee.params, trainee.state], (t) => t.dispose());
  trainee.params = params;
  trainee.state = state;
  const [lossValue, penaltyValue, norm] = await Promise.all([loss.item(), penalty.item(), gradNorm.item()]);
  eachTensor([loss, penalty, gradNorm], (t) => t.dispose());
  if (!Number.isFinite(lossValue) || !Number.isFinite(norm)) {
    throw new Error(
      `update ${step}: loss ${lossValue}, gradient norm ${norm}: the run diverged; try a lower optimizer.lr`,
    );
  }
  const tokens = batches.reduce((n, batch) => n + batch.tokens, 0);
  const seconds = (performance.now() - started) / 1000;
  return {
    step,
    epoch: plan.epochAfter(step),
    lr,
    loss: lossValue,
    penalty: penaltyValue,
    grad_norm: norm,
    tokens,
    tokens_per_second: tokens / seconds,
    seconds,
    memory_bytes: setup.model.backend.stats.peakBytes,
  };
}
