import { globalNorm } from '@flex/optim';
import { fourier, lowRankOf } from '@flex/peft';
import { eachTensor, keep, OutOfMemoryError, type Tensor } from '@flex/tensor';
import { estimateCurvature } from './curvature.ts';
import { nonFiniteUpdate } from './non-finite-update.ts';
import type { PreparedRun } from './prepare.ts';
import { readNumber } from './read-number.ts';
import { labelled, type PenaltyNumbers, penaltyColumns } from './regularizer-columns.ts';
import type { StepMetrics } from './run.ts';
import { measureOf } from './spectrum-log.ts';
import { newTrainee } from './trainee.ts';
import { type UpdateResult, update } from './update.ts';

/** What an update needs of a run. */
type UpdatedRun = Pick<PreparedRun, 'setup' | 'trainee' | 'batches' | 'plan' | 'schedule'>;

/**
 * Runs update `step` on its batches, puts the new parameters and state in place of the old ones, and gives
 * what its line of metrics says. Where memory runs out it is made once more from the snapshot, since a device
 * may have given back meanwhile what nobody used. Throws Error where a number that it tells is not finite,
 * see `nonFiniteUpdate`.
 */
export async function makeUpdate(run: UpdatedRun, step: number): Promise<StepMetrics> {
  try {
    return await tryUpdate(run, step);
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    const { trainee, setup } = run;
    eachTensor([trainee.params, trainee.whole, trainee.state], (t) => t.dispose());
    Object.assign(trainee, trainee.snapshot.on(setup.model.backend));
    return tryUpdate(run, step);
  }
}

async function tryUpdate(
  { setup, trainee, batches: batchesOf, plan, schedule }: UpdatedRun,
  step: number,
): Promise<StepMetrics> {
  const started = performance.now();
  const secondsSince = (start: number) => (performance.now() - start) / 1000;
  const lr = setup.optimizer.lr * schedule(step - 1);
  const batches = batchesOf(step);
  const inputs = { ...trainee, batches, step, lr };
  /** What is to be freed however this ends. */
  let passing: unknown[] = [];
  try {
    const curvature = keep(estimateCurvature(setup, inputs));
    passing.push(curvature);
    // Waited for, once in so many updates, so that its time is known apart from the update's.
    const curvatureNorm = curvature && (await readNumber(() => globalNorm(curvature)));
    const curvatureSeconds = curvature && { curvature_seconds: secondsSince(started) };
    const made = keep(update(setup, { ...inputs, curvature }));
    passing.push(made);
    const [{ columns, penalties }, next] = await Promise.all([numbersOf(made), newTrainee(made)]);
    const { update_ratio: updateRatio, ...told } = columns;
    const error = await nonFiniteUpdate(setup, { ...inputs, curvature }, made, {
      loss: told.loss,
      gradNorm: told.grad_norm,
      updateRatio,
      isWell:
        next.snapshot.isFinite &&
        [told, ...penalties].every((numbers) => Object.values(numbers).every(Number.isFinite)) &&
        Number.isFinite(curvatureNorm ?? 0),
    });
    if (error) throw error;
    const { params, whole, state } = trainee;
    Object.assign(trainee, next);
    passing = [params, whole, state, curvature];
    const tokens = batches.reduce((n, batch) => n + batch.tokens, 0);
    const seconds = secondsSince(started);
    return {
      step,
      epoch: plan.epochAfter(step),
      lr,
      ...columns,
      penalty: penalties.reduce((sum, { value }) => sum + value, 0),
      tokens,
      tokens_per_second: tokens / seconds,
      seconds,
      ...curvatureSeconds,
      memory_bytes: setup.model.backend.stats.peakBytes,
      ...labelled(
        setup.regularizers,
        penalties.map((numbers, i) => penaltyColumns(setup.regularizers[i], numbers, columns.grad_norm)),
      ),
    };
  } finally {
    eachTensor(passing, (t) => t.dispose());
  }
}

/** What an update tells, read from the device; its tensors are freed. */
async function numbersOf({
  loss,
  gradNorm,
  taskGradNorm,
  updateRatio,
  diagnostics,
  penalties,
}: UpdateResult) {
  const told = { loss, grad_norm: gradNorm, task_grad_norm: taskGradNorm, update_ratio: updateRatio };
  const read = <T extends string>(tensors: readonly (readonly [T, Tensor])[]) =>
    Promise.all(tensors.map(async ([name, t]) => [name, await t.item()] as const)).then(Object.fromEntries);
  const [columns, ...ofPenalties] = await Promise.all([
    read([...Object.entries(told), ...diagnostics]) as Promise<Record<keyof typeof told, number>>,
    ...penalties.map((penalty) => read(Object.entries(penalty)) as Promise<PenaltyNumbers>),
  ]);
  eachTensor([told, diagnostics, penalties], (t) => t.dispose());
  return { columns, penalties: ofPenalties };
}

/** The adapter's share of power at low frequencies, and what the regularizers tell of it. */
export async function diagnosticsOf({
  config,
  setup,
  trainee,
}: PreparedRun): Promise<Record<string, number>> {
  const adapters = lowRankOf(trainee.params);
  const own = await Promise.all(
    setup.regularizers.map(({ regularizer }) => regularizer.diagnostics?.(adapters) ?? {}),
  );
  const { share_below } = await fourier(measureOf(config)).diagnostics(adapters);
  const all: Record<string, number> = { share_below, ...labelled(setup.regularizers, own) };
  const wrong = Object.keys(all).find((name) => !Number.isFinite(all[name]));
  if (wrong) throw new Error(`${wrong}: is ${all[wrong]}, and the parameters are finite`);
  return all;
}
