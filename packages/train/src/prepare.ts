import { join } from 'node:path';
import { treeLeaves } from '@flex/autograd';
import { ConfigError, type FolderLock, openInputFiles, unknownName } from '@flex/base';
import { describeQuantized, type LoadProgress, loadModel } from '@flex/llama';
import type { Schedule } from '@flex/optim';
import { flattenWeights, resolveLora } from '@flex/peft';
import { type Backend, eachTensor, size } from '@flex/tensor';
import { type Callback, namedCallback } from './callback.ts';
import { loadCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { type Batch, collate, type Plan, planUpdates } from './data/batches.ts';
import type { DataSet } from './data/data-set.ts';
import { describeLost, describeOverlaps } from './data/describe-data.ts';
import { loadRunData, requireApart } from './data/run-data.ts';
import type { LockRunOptions } from './lock-run.ts';
import { namedOptimizer, namedSchedule } from './named-parts.ts';
import { makePart, titleOf } from './parts.ts';
import { type MemoryPlan, planMemory, requireFit } from './plan-memory.ts';
import type { RunInfo, RunSummary } from './run.ts';
import { holdsRun, openRunFolder, type RunFolder, readManifest, readSummary } from './run-folder.ts';
import { watchRun } from './run-inputs.ts';
import { describeExtension, lengthened, type RunLength, scheduleOf } from './run-length.ts';
import { startingAdapter } from './starting-adapter.ts';
import { digestOfRun } from './summary.ts';
import { newTrainee, type Trainee } from './trainee.ts';
import type { UpdateSetup } from './update.ts';
import { weightedRegularizers } from './weighted-regularizers.ts';

export interface PrepareOptions extends LockRunOptions {
  readonly backend: Backend;
  /** Told what the run takes of the device's memory, before anything is loaded. */
  readonly onPlan?: (memory: MemoryPlan) => void;
  /** Told how the model is loaded. */
  readonly onLoad?: (progress: LoadProgress) => void;
  /** Aborted while the model is loaded: rejects with its reason, and nothing is written. */
  readonly signal?: AbortSignal;
}

/** A run that is ready for its next update. */
export interface PreparedRun {
  readonly config: TrainConfig;
  readonly info: RunInfo;
  readonly folder: RunFolder;
  readonly setup: UpdateSetup;
  readonly trainee: Trainee;
  readonly data: DataSet;
  readonly heldOut: readonly DataSet[];
  readonly plan: Plan;
  readonly length: RunLength;
  /** The batches of an update, from 1. */
  readonly batches: (step: number) => readonly Batch[];
  readonly schedule: Schedule;
  readonly callbacks: readonly Callback[];
}

/**
 * Reads and makes all that a run needs, and begins its folder, which is locked for it. A run that is to be
 * resumed and is done already gives its summary instead. Throws ConfigError or DataError, before anything is
 * written, for what is wrong with the configuration, the model, the adapter or the data.
 */
export async function prepare(
  config: TrainConfig,
  { backend, resume = false, onPlan, onLoad: onProgress, signal }: PrepareOptions,
  lock: FolderLock,
): Promise<PreparedRun | RunSummary> {
  const { seed } = config.train;
  const optimizer = await makePart('optimizer', config.optimizer, undefined);
  const rule = namedOptimizer(titleOf('optimizer', optimizer), optimizer.value);
  const callbacks = await Promise.all(config.callbacks.map((part) => makePart('callback', part, undefined)));
  const files = openInputFiles();
  watchRun(config, files);
  const runData = await loadRunData(config);
  requireApart(config, runData);
  const { data, heldOut, overlaps } = runData;
  const plan = planUpdates(data.examples.length, { ...config.train, shuffle: config.data.shuffle });
  requireJudged(config.train, heldOut);
  const folder = await openRunFolder(config, { resume, files });
  const before = resume && holdsRun(config.out) ? readManifest(config.out) : null;
  const summary = before && readSummary(config.out);
  const finished = summary?.status === 'done' ? summary : null;
  const isSame = before && finished?.digest === digestOfRun(folder.runDigest, before);
  if (finished && isSame && (finished.stopped !== undefined || finished.steps === plan.steps))
    return finished;
  const memory = await planMemory(config, { data, heldOut, plan }, backend, before?.recomputed);
  onPlan?.(memory);
  requireFit(memory);
  const { dtype, quantize } = config;
  const model = await loadModel(backend, config.model, { dtype, quantize, onProgress, signal });
  const { lora, removed, warnings: ofAdapter, ...fresh } = await startingAdapter(config, model);
  const ofData = describeOverlaps(data.name, overlaps, `in ${join(config.out, 'manifest.json')}`);
  const warnings = [lock.note, ...ofData, ...model.warnings, ...ofAdapter].filter((line) => line !== null);
  const regularizers = await weightedRegularizers(config, fresh.params);
  const saved = resume ? loadCheckpoint(backend, config.out, folder.runDigest, { ...model, removed }) : null;
  const trainee = await newTrainee(saved ?? { ...fresh, state: rule.init(flattenWeights(fresh)) });
  if (saved) eachTensor([fresh.params, fresh.whole], (t) => t.dispose());
  const done = saved?.step ?? 0;
  const length = lengthened(before, plan.steps, done);
  if (finished && finished.steps !== saved?.step) {
    throw new ConfigError(
      `${config.out}: holds a run that is done, and no checkpoint of its end; give --overwrite to train anew`,
    );
  }
  const schedule = await makeSchedule(config, length);
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(lora, trainee.params, { weights: model.weights, removed }),
    optimizer: rule,
    loraPlusRatio: config.optimizer.loraPlusRatio,
    regularizers,
    maxGradNorm: config.train.maxGradNorm,
    checkpointActivations: memory.recomputed,
    seed,
    gradAccumulation: config.train.gradAccumulation,
  };
  const batches = (step: number) =>
    plan.batches(step).map((indices) => collate(indices.map((i) => data.examples[i])));
  const { recomputed } = memory;
  const { quantized } = model;
  const start = { backend, config, data, heldOut, overlaps, lora, quantized, optimizer, regularizers };
  folder.start({ ...start, done, length, recomputed });
  return {
    config,
    folder,
    trainee,
    data,
    heldOut,
    plan,
    batches,
    length,
    schedule,
    callbacks: callbacks.map((made) => namedCallback(titleOf('callback', made), made.value)),
    info: {
      out: config.out,
      device: backend.description,
      model: config.model,
      trainableParameters: treeLeaves([trainee.params, trainee.whole]).reduce((n, t) => n + size(t.shape), 0),
      examples: data.counts.examples,
      notes: [
        ...[data, ...heldOut].flatMap((set) => [...set.notes, ...describeLost(set, config.out)]),
        ...length.extended.map(describeExtension),
        ...(quantized ? [describeQuantized(quantized)] : []),
      ],
      warnings,
      steps: plan.steps,
      done,
    },
    setup,
  };
}

/** The schedule of a run of this length. */
export function makeSchedule(config: TrainConfig, length: RunLength): Promise<Schedule> {
  return scheduleOf(length, async (totalSteps) => {
    const made = await makePart('schedule', config.schedule, { totalSteps });
    return namedSchedule(titleOf('schedule', made), made.value);
  });
}

/** Throws ConfigError where the best update cannot be told by held-out data as the configuration says. */
export function requireJudged(
  { bestBy, patience, evalEvery }: TrainConfig['train'],
  heldOut: readonly DataSet[],
): void {
  const names = heldOut.map(({ name }) => name);
  if (bestBy !== null && !names.includes(bestBy)) {
    throw new ConfigError(
      `train.best_by ${names.length > 0 ? unknownName(bestBy, names) : 'needs held-out data, `eval`'}`,
    );
  }
  if (patience !== null && (names.length === 0 || evalEvery === 0)) {
    throw new ConfigError('train.patience needs held-out data, `eval`, and a train.eval_every above 0');
  }
}
