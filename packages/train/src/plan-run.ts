import { treeLeaves } from '@flex/autograd';
import { ConfigError, DataError } from '@flex/base';
import { emptyModel } from '@flex/llama';
import { type Backend, eachTensor, openCounting, size } from '@flex/tensor';
import { savedSteps } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { type Plan, planUpdates } from './data/batches.ts';
import type { DataCounts, DataSet, LostRow } from './data/data-set.ts';
import { type LengthHistogram, lengthHistogram } from './data/length-histogram.ts';
import { loadRunData, type RunData, requireApart } from './data/run-data.ts';
import { type LockRunOptions, requireRunFolder } from './lock-run.ts';
import { makePart } from './parts.ts';
import { type MemoryPlan, planMemory, requireFit } from './plan-memory.ts';
import { makeSchedule, requireJudged } from './prepare.ts';
import { holdsRun, readManifest } from './run-folder.ts';
import { lengthened } from './run-length.ts';
import { emptyStart } from './starting-adapter.ts';

/** What a run would do, found without the model's weights and with nothing computed. */
export interface RunPlan {
  /** The training data, then the held-out sets. */
  readonly sets: readonly PlannedSet[];
  readonly overlaps: RunData['overlaps'];
  /** How examples are packed, a line a set. */
  readonly notes: readonly string[];
  /** Updates of the whole run, and of one pass over the data. */
  readonly updates: number;
  readonly updatesAnEpoch: number;
  /** Passes over the data. */
  readonly epochs: number;
  /** Tokens of one pass over the data, and of the whole run, padding not counted. */
  readonly tokensAnEpoch: number;
  readonly tokens: number;
  /** Learning rates of the first update, the first with the highest rate, that in the middle and the last. */
  readonly schedule: readonly { readonly update: number; readonly lr: number }[];
  readonly trainableParameters: number;
  /** What it takes of the device's memory; null where no device was named. */
  readonly memory: MemoryPlan | null;
  /** What the run would be refused for though all of this is known; null: nothing. */
  readonly refusal: Error | null;
}

/** A data set of a planned run. */
export interface PlannedSet extends DataCounts, Pick<DataSet, 'name' | 'maxLength'> {
  /** Tokens of all rows that have a solution, before any is cut. */
  readonly lengths: LengthHistogram;
  readonly lost: readonly LostRow[];
}

export interface PlanRunOptions extends LockRunOptions {
  /** The device that the run is to have, of which nothing is used. */
  readonly backend?: Pick<Backend, 'counted' | 'memory'>;
}

/**
 * What the run of a configuration would do. Nothing is written. Throws ConfigError or DataError for what the
 * run would refuse, but for its folder and for overlaps, which the plan has as its `refusal`, and for what
 * only weights and a device can tell.
 */
export async function planRun(config: TrainConfig, options: PlanRunOptions = {}): Promise<RunPlan> {
  const { train } = config;
  const trainableParameters = countTrainable(config);
  const optimizer = await makePart('optimizer', config.optimizer, undefined);
  for (const part of config.callbacks) await makePart('callback', part, undefined);
  const runData = await loadRunData(config);
  const { data, heldOut, overlaps } = runData;
  requireJudged(train, heldOut);
  const plan = planUpdates(data.examples.length, { ...train, shuffle: config.data.shuffle });
  const { steps: updates } = plan;
  const before = options.resume && holdsRun(config.out) ? readManifest(config.out) : null;
  const length = lengthened(before, updates, savedSteps(config.out).at(-1) ?? 0);
  const memory = options.backend
    ? await planMemory(config, { data, heldOut, plan }, options.backend, before?.recomputed)
    : null;
  const factor = await makeSchedule(config, length);
  const rates = Array.from({ length: updates }, (_, i) => optimizer.value.lr * factor(i));
  const highest = rates.reduce((best, rate, i) => (rate > rates[best] ? i : best), 0);
  const points = [0, highest, Math.ceil(updates / 2) - 1, updates - 1];
  const ordered = [...new Set(points)].sort((a, b) => a - b);
  return {
    sets: [data, ...heldOut].map(({ name, counts, maxLength, lengths, lost }) => ({
      name,
      ...counts,
      maxLength,
      lengths: lengthHistogram(lengths),
      lost,
    })),
    overlaps,
    notes: [data, ...heldOut].flatMap(({ notes }) => notes),
    updates,
    updatesAnEpoch: Math.ceil(data.examples.length / (train.batchSize * train.gradAccumulation)),
    epochs: plan.epochAfter(updates),
    tokensAnEpoch: data.counts.tokens,
    tokens: tokensOf(plan, data),
    schedule: ordered.map((i) => ({ update: i + 1, lr: rates[i] })),
    trainableParameters,
    memory,
    refusal:
      refusalOf(() => requireRunFolder(config, options)) ??
      refusalOf(() => requireApart(config, runData)) ??
      (memory && refusalOf(() => requireFit(memory))),
  };
}

/** The ConfigError or DataError that it throws; null where it throws none. */
function refusalOf(requirement: () => void): Error | null {
  try {
    requirement();
    return null;
  } catch (error) {
    if (error instanceof ConfigError || error instanceof DataError) return error;
    throw error;
  }
}

function tokensOf(plan: Plan, { examples }: DataSet): number {
  let tokens = 0;
  for (let step = 1; step <= plan.steps; step++) {
    for (const i of plan.batches(step).flat()) tokens += examples[i].input_ids.length;
  }
  return tokens;
}

/** The numbers that the run trains. Throws what a run throws for an adapter that does not fit the model. */
function countTrainable(config: TrainConfig): number {
  const model = emptyModel(openCounting({ memory: 'arrays' }), config.model, config);
  const { params, whole, removed } = emptyStart(config, model);
  const count = treeLeaves([params, whole]).reduce((sum, { shape }) => sum + size(shape), 0);
  eachTensor([params, whole, removed], (t) => t.dispose());
  model.dispose();
  return count;
}
