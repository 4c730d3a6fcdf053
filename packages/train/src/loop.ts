import { join } from 'node:path';
import { withLora, writeAdapter } from '@flex/peft';
import { eachTensor, keep } from '@flex/tensor';
import type { Callback } from './callback.ts';
import { saveCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { meanLoss } from './evaluate.ts';
import { type PreparedRun, type PrepareOptions, prepare } from './prepare.ts';
import { regularizerColumns } from './regularizer-columns.ts';
import type { RunSummary, StepMetrics } from './run.ts';
import { openRunState, type RunState } from './run-state.ts';
import { tensorBoard } from './tensorboard.ts';
import { update } from './update.ts';

export interface TrainOptions extends PrepareOptions {
  /** Aborted: finish the update, write everything, return. */
  readonly signal?: AbortSignal;
  /** Called after those of the configuration. */
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
  { signal, callbacks: further = [] }: TrainOptions,
): Promise<RunSummary> {
  const { config, folder, setup, trainee, heldOut, plan } = prepared;
  const { evalEvery, saveEvery } = config.train;
  const callbacks = [...prepared.callbacks, tensorBoard(join(config.out, 'tensorboard')), ...further];
  const state = openRunState(prepared);
  const { context } = state;
  const started = performance.now();
  const save = () => {
    const saved = { ...trainee, step: state.step, run: folder.runDigest };
    return saveCheckpoint(config.out, saved, setup.lora.config, config.model);
  };
  const evaluate = async () => {
    if (heldOut.length === 0) return {};
    const losses = await heldOutLosses(prepared);
    if (state.line) state.line = { ...state.line, eval: losses };
    for (const callback of callbacks) await callback.onEval?.(context, losses);
    return losses;
  };
  const examine = async () => {
    state.line = { ...state.line!, ...(await diagnosticsOf(prepared)) };
    return evaluate();
  };

  for (const callback of callbacks) await callback.onStart?.(context);
  const before = await evaluate();
  let after = before;
  while (state.step < plan.steps && state.stopped === null && !signal?.aborted) {
    state.beginLine(await oneUpdate(prepared, state.step + 1));
    const last = state.step === plan.steps;
    const timely = last || (evalEvery > 0 && state.step % evalEvery === 0);
    if (timely) after = await examine();
    for (const callback of callbacks) await callback.onUpdate?.(context);
    if (state.stopped !== null && !timely) after = await examine();
    const line = state.endLine();
    folder.appendMetrics(line);
    for (const callback of callbacks) await callback.onLine?.(context, line);
    if (saveEvery > 0 && state.step % saveEvery === 0 && !last) await save();
  }
  const interrupted = state.step < plan.steps && state.stopped === null;
  if (interrupted) await save();
  await writeAdapter(join(config.out, 'adapter'), trainee.params, setup.lora.config, {
    baseModel: config.model,
  });
  const summary = summaryOf(prepared, state, {
    status: interrupted ? 'interrupted' : 'done',
    losses: interrupted ? [] : Object.entries(before).map(([name, loss]) => [name, loss, after[name]]),
    seconds: (performance.now() - started) / 1000,
  });
  folder.finish(summary);
  for (const callback of callbacks) await callback.onEnd?.(context, summary);
  return summary;
}

function summaryOf(
  { config, info, folder, setup }: PreparedRun,
  { history, step, stopped }: RunState,
  {
    status,
    losses,
    seconds,
  }: {
    readonly status: RunSummary['status'];
    readonly losses: readonly (readonly [name: string, before: number, after: number])[];
    readonly seconds: number;
  },
): RunSummary {
  const lines = history.filter((line) => line.step > info.done);
  const total = (of: (line: StepMetrics) => number) => lines.reduce((sum, line) => sum + of(line), 0);
  const [tokens, trainSeconds] = [total((line) => line.tokens), total((line) => line.seconds)];
  return {
    status,
    digest: folder.runDigest,
    steps: step,
    ...(stopped !== null && { stopped }),
    out: config.out,
    adapter: join(config.out, 'adapter'),
    eval: Object.fromEntries(losses.map(([name, before, after]) => [name, { before, after }])),
    loss: { first: lines.at(0)?.loss ?? null, last: lines.at(-1)?.loss ?? null },
    tokens,
    seconds,
    tokens_per_second: trainSeconds > 0 ? tokens / trainSeconds : 0,
    peak_memory_bytes: setup.model.backend.stats.peakBytes,
  };
}

/** What the regularizers tell of the adapter, such as the share of its power at low frequencies. */
async function diagnosticsOf({ setup, trainee }: PreparedRun): Promise<Record<string, number>> {
  const all = await Promise.all(
    setup.regularizers.map(({ regularizer }) => regularizer.diagnostics?.(trainee.params) ?? {}),
  );
  return regularizerColumns(setup.regularizers, all);
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
  { setup, trainee, batches: batchesOf, plan, schedule }: PreparedRun,
  step: number,
): Promise<StepMetrics> {
  const started = performance.now();
  const lr = setup.optimizer.lr * schedule(step - 1);
  const batches = batchesOf(step);
  const { params, state, loss, penalties, gradNorm } = keep(update(setup, { ...trainee, batches, step, lr }));
  eachTensor([trainee.params, trainee.state], (t) => t.dispose());
  trainee.params = params;
  trainee.state = state;
  const [lossValue, norm, ...penaltyValues] = await Promise.all(
    [loss, gradNorm, ...penalties].map((number) => number.item()),
  );
  eachTensor([loss, gradNorm, penalties], (t) => t.dispose());
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
    penalty: penaltyValues.reduce((sum, penalty) => sum + penalty, 0),
    grad_norm: norm,
    tokens,
    tokens_per_second: tokens / seconds,
    seconds,
    memory_bytes: setup.model.backend.stats.peakBytes,
    ...regularizerColumns(
      setup.regularizers,
      penaltyValues.map((penalty) => ({ penalty })),
    ),
  };
}
