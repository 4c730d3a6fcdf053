import { join } from 'node:path';
import type { Optimizer } from '@flex/optim';
import { lowRankOf, withAdapter, writeAdapter } from '@flex/peft';
import { eachTensor, keep, OutOfMemoryError } from '@flex/tensor';
import type { Callback } from './callback.ts';
import { saveCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { estimateCurvature } from './curvature.ts';
import { doesNotFit } from './does-not-fit.ts';
import { meanLoss } from './evaluate.ts';
import { type PreparedRun, type PrepareOptions, prepare } from './prepare.ts';
import { regularizerColumns } from './regularizer-columns.ts';
import type { RunSummary, StepMetrics } from './run.ts';
import { openRunState, type RunState } from './run-state.ts';
import { spectrumFile, spectrumLog } from './spectrum-log.ts';
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
 * the data. Throws OutOfMemoryError where an update does not fit the device, with those before it saved.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<RunSummary> {
  const prepared = await prepare(config, options).catch((error) => {
    throw doesNotFit(error, config, 'no update was made');
  });
  return 'status' in prepared ? prepared : run(prepared, options);
}

async function run(
  prepared: PreparedRun,
  { signal, callbacks: further = [] }: TrainOptions,
): Promise<RunSummary> {
  const { config, folder, setup, trainee, heldOut, plan } = prepared;
  const { evalEvery, saveEvery } = config.train;
  const writers = [
    tensorBoard(join(config.out, 'tensorboard')),
    spectrumLog(join(config.out, spectrumFile), setup.lora.removed),
  ];
  const callbacks = [...prepared.callbacks, ...writers, ...further];
  const state = openRunState(prepared);
  const { context } = state;
  const started = performance.now();
  const save = () => {
    const saved = { ...trainee, step: state.step, run: folder.runDigest };
    return saveCheckpoint(config.out, saved, setup.lora, config.model);
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

  const keepLine = () => {
    const line = state.endLine();
    folder.appendMetrics(line);
    return line;
  };
  const updates = async () => {
    for (const callback of callbacks) await callback.onStart?.(context);
    const before = await evaluate();
    let after = before;
    while (state.step < plan.steps && state.stopped === null && !signal?.aborted) {
      const made = await oneUpdate(prepared, state.step + 1);
      state.beginLine({ ...made, ...warningsOf(setup.optimizer, made, state.history) });
      const last = state.step === plan.steps;
      const timely = last || (evalEvery > 0 && state.step % evalEvery === 0);
      if (timely) after = await examine();
      for (const callback of callbacks) await callback.onUpdate?.(context);
      if (state.stopped !== null && !timely) after = await examine();
      const line = keepLine();
      for (const callback of callbacks) await callback.onLine?.(context, line);
      if (saveEvery > 0 && state.step % saveEvery === 0 && !last) await save();
    }
    return { before, after };
  };
  /** Whether an update that did not end has given up tensors of the optimizer's state. */
  const isTorn = () => [...trainee.state.values()].some((t) => t.disposed);
  /** Saves what is done before memory ran out, and gives the error to end with. */
  const failed = async (error: unknown) => {
    if (!(error instanceof OutOfMemoryError)) return error;
    const next = `update ${state.step + 1} had begun to replace the optimizer's state`;
    if (isTorn()) return doesNotFit(error, config, `${next}, so what is saved are the checkpoints before it`);
    if (state.step > 0) {
      if (state.line !== null && state.line !== state.history.at(-1)) keepLine();
      await save();
    }
    return doesNotFit(error, config, `${state.step} updates are saved`);
  };

  const { before, after } = await updates().catch(async (error) => {
    throw await failed(error);
  });
  const interrupted = state.step < plan.steps && state.stopped === null;
  if (interrupted) await save();
  await writeAdapter(join(config.out, 'adapter'), trainee.params, setup.lora.config, {
    baseModel: config.model,
    whole: trainee.whole,
    removed: setup.lora.removed,
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
  const curvatureSeconds = total((line) => line.curvature_seconds ?? 0);
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
    ...(setup.optimizer.curvature &&
      trainSeconds > 0 && { curvature_share: curvatureSeconds / trainSeconds }),
    peak_memory_bytes: setup.model.backend.stats.peakBytes,
  };
}

/** What the regularizers tell of the adapter, such as the share of its power at low frequencies. */
async function diagnosticsOf({ setup, trainee }: PreparedRun): Promise<Record<string, number>> {
  const all = await Promise.all(
    setup.regularizers.map(({ regularizer }) => regularizer.diagnostics?.(lowRankOf(trainee.params)) ?? {}),
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
  const model = withAdapter(setup.model, trainee, setup.lora);
  for (const set of heldOut) {
    losses[set.name] = await meanLoss(model, set.batches(config.train.batchSize));
  }
  return losses;
}

/** What the optimizer has to say of its health after an update, but for what earlier lines have said. */
function warningsOf(
  { health }: Optimizer,
  line: StepMetrics,
  history: readonly StepMetrics[],
): { readonly warnings?: readonly string[] } {
  const said = new Set(history.flatMap(({ warnings = [] }) => warnings));
  const warnings = (health?.(line, history) ?? []).filter((words) => !said.has(words));
  return warnings.length > 0 ? { warnings } : {};
}

/** Runs update `step` on its batches and puts the new parameters and state in place of the old ones. */
async function oneUpdate(
  { setup, trainee, batches: batchesOf, plan, schedule }: PreparedRun,
  step: number,
): Promise<StepMetrics> {
  const started = performance.now();
  const secondsSince = (start: number) => (performance.now() - start) / 1000;
  const lr = setup.optimizer.lr * schedule(step - 1);
  const batches = batchesOf(step);
  const inputs = { ...trainee, batches, step, lr };
  const curvature = keep(estimateCurvature(setup, inputs));
  // Waited for, once in so many updates, so that its time is known apart from the update's.
  await [...(curvature?.values() ?? [])].at(-1)?.data();
  const curvatureSeconds = curvature && { curvature_seconds: secondsSince(started) };
  const { loss, penalties, gradNorm, updateRatio, diagnostics, ...moved } = keep(
    update(setup, { ...inputs, curvature }),
  );
  eachTensor([trainee.params, trainee.whole, trainee.state, curvature], (t) => t.dispose());
  Object.assign(trainee, moved);
  const told = { loss, grad_norm: gradNorm, update_ratio: updateRatio };
  const tensors = [...Object.entries(told), ...diagnostics];
  const [numbers, penaltyValues] = await Promise.all([
    Promise.all(tensors.map(async ([name, t]) => [name, await t.item()] as const)),
    Promise.all(penalties.map((penalty) => penalty.item())),
  ]);
  eachTensor([told, diagnostics, penalties], (t) => t.dispose());
  const columns = Object.fromEntries(numbers) as Record<keyof typeof told, number>;
  if (!Number.isFinite(columns.loss) || !Number.isFinite(columns.grad_norm)) {
    throw new Error(
      `update ${step}: loss ${columns.loss}, gradient norm ${columns.grad_norm}: the run diverged; try a lower optimizer.lr`,
    );
  }
  const tokens = batches.reduce((n, batch) => n + batch.tokens, 0);
  const seconds = secondsSince(started);
  return {
    step,
    epoch: plan.epochAfter(step),
    lr,
    ...columns,
    penalty: penaltyValues.reduce((sum, penalty) => sum + penalty, 0),
    tokens,
    tokens_per_second: tokens / seconds,
    seconds,
    ...curvatureSeconds,
    memory_bytes: setup.model.backend.stats.peakBytes,
    ...regularizerColumns(
      setup.regularizers,
      penaltyValues.map((penalty) => ({ penalty })),
    ),
  };
}
