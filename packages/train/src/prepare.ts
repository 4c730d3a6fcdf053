import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mapTree, treeLeaves } from '@flex/autograd';
import { ConfigError, DataError, respell } from '@flex/base';
import { type LlamaModel, loadLlama, openChatTemplate, openTokenizer, readLlamaConfig } from '@flex/llama';
import type { OptimizerState, Schedule } from '@flex/optim';
import {
  type Adapters,
  type AdapterWeights,
  flattenWeights,
  initAdapter,
  initWhole,
  type LoraConfig,
  lowRankOf,
  noBiases,
  openAdapter,
  requireEffect,
  resolveLora,
  resolveTargets,
  type Targets,
} from '@flex/peft';
import { type Backend, eachTensor, mul, size } from '@flex/tensor';
import { type Callback, namedCallback } from './callback.ts';
import { loadCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { type Batch, collate, type Plan, planUpdates } from './data/batches.ts';
import { type DataSet, loadDataSet } from './data/data-set.ts';
import type { TokenizerLike } from './data/encode.ts';
import { namedOptimizer, namedRegularizer } from './named-parts.ts';
import { makePart } from './parts.ts';
import { penaltyWarnings } from './penalty-warnings.ts';
import { distinctLabels } from './regularizer-columns.ts';
import type { RunInfo, RunSummary } from './run.ts';
import { openRunFolder, type RunFolder } from './run-folder.ts';
import { shouldCheckpoint } from './should-checkpoint.ts';
import type { UpdateSetup } from './update.ts';

export interface PrepareOptions {
  readonly backend: Backend;
  /** Whether the run in `out` goes on from its newest checkpoint. */
  readonly resume?: boolean;
  /** Whether it is replaced. */
  readonly overwrite?: boolean;
}

/** What an update changes. */
export interface Trainee extends AdapterWeights {
  readonly state: OptimizerState;
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
  /** The batches of an update, from 1. */
  readonly batches: (step: number) => readonly Batch[];
  readonly schedule: Schedule;
  readonly callbacks: readonly Callback[];
}

/**
 * Reads and makes all that a run needs, and begins its folder. A run that is to be resumed and is done
 * already gives its summary instead. Throws ConfigError or DataError, before anything is written, for what
 * is wrong with the configuration, the model, the adapter or the data.
 */
export async function prepare(
  config: TrainConfig,
  { backend, resume = false, overwrite = false }: PrepareOptions,
): Promise<PreparedRun | RunSummary> {
  const { seed } = config.train;
  const optimizer = await makePart('optimizer', config.optimizer, undefined);
  const rule = namedOptimizer(optimizer.name, optimizer.value);
  const callbacks = await Promise.all(config.callbacks.map((part) => makePart('callback', part, undefined)));
  const tokenizer = tokenizerOf(config.model);
  const load = async ({ format, ...source }: TrainConfig['eval'][number]) => {
    const known = typeof format === 'string' ? format : (await makePart('format', format, undefined)).value;
    return loadDataSet({ ...source, format: known }, tokenizer);
  };
  const data = await load(config.data);
  const heldOut = distinct(await Promise.all(config.eval.map(load)));
  checkContext(config.model, [data, ...heldOut]);
  const plan = planUpdates(data.examples.length, { ...config.train, shuffle: config.data.shuffle });
  const schedule = await makePart('schedule', config.schedule, { totalSteps: plan.steps });
  const folder = await openRunFolder(config, { resume, overwrite });
  const finished = resume ? finishedRun(config.out, folder.runDigest) : null;
  if (finished) return finished;
  const model = loadLlama(backend, config.model, { dtype: config.dtype });
  const { lora, removed, warnings: ofAdapter, ...fresh } = await startingAdapter(config, model);
  const warnings = [...model.warnings, ...ofAdapter];
  const start = () => mapTree((t) => mul(t, 1), lowRankOf(fresh.params));
  const penalties = await Promise.all(
    config.regularizer.map((part) => makePart('regularizer', part, { seed, start })),
  );
  const labels = distinctLabels(penalties.map(({ name }) => name));
  const regularizers = penalties.map(({ value, ...made }, i) => {
    const [label, { lambda, enters }] = [labels[i], config.regularizer[i]];
    return { ...made, label, regularizer: namedRegularizer(label, value), lambda, enters };
  });
  const saved = resume ? loadCheckpoint(backend, config.out, folder.runDigest, { ...model, removed }) : null;
  const trainee: Trainee = saved ?? { ...fresh, state: rule.init(flattenWeights(fresh)) };
  if (saved) eachTensor([fresh.params, fresh.whole], (t) => t.dispose());
  const done = saved?.step ?? 0;
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(lora, trainee.params, { weights: model.weights, removed }),
    optimizer: rule,
    loraPlusRatio: config.optimizer.loraPlusRatio,
    regularizers,
    maxGradNorm: config.train.maxGradNorm,
    checkpointActivations: shouldCheckpoint(config),
    seed,
    gradAccumulation: config.train.gradAccumulation,
  };
  const batches = (step: number) =>
    plan.batches(step).map((indices) => collate(indices.map((i) => data.examples[i])));
  // A run that goes on was told when it began.
  if (done === 0) {
    const first = { ...trainee, batches: batches(1), updates: plan.steps };
    warnings.push(...(await penaltyWarnings(setup, first)));
  }
  folder.start({ backend, config, data, heldOut, lora, optimizer, regularizers, done });
  return {
    config,
    folder,
    trainee,
    data,
    heldOut,
    plan,
    batches,
    schedule: schedule.value,
    callbacks: callbacks.map(({ name, value }) => namedCallback(name, value)),
    info: {
      out: config.out,
      device: backend.description,
      model: config.model,
      trainableParameters: treeLeaves([trainee.params, trainee.whole]).reduce((n, t) => n + size(t.shape), 0),
      examples: data.counts.examples,
      notes: [data, ...heldOut].flatMap(({ notes }) => notes),
      warnings,
      steps: plan.steps,
      done,
    },
    setup,
  };
}

/** The summary of a run that needs no resuming: it is the same run, and done. */
function finishedRun(out: string, digest: string): RunSummary | null {
  const file = join(out, 'summary.json');
  if (!existsSync(file)) return null;
  const summary = JSON.parse(readFileSync(file, 'utf8')) as RunSummary;
  return summary.status === 'done' && summary.digest === digest ? summary : null;
}

/** The sets under names of their own: one that a set before it has gets its number behind it. */
function distinct(sets: readonly DataSet[]): DataSet[] {
  const count = (i: number) => sets.slice(0, i + 1).filter(({ name }) => name === sets[i].name).length;
  return sets.map((set, i) => (count(i) > 1 ? { ...set, name: `${set.name} (${count(i)})` } : set));
}

/** Throws DataError for an example that is longer than the model's context. */
function checkContext(model: string, sets: readonly DataSet[]): void {
  const { maxPositions } = readLlamaConfig(model);
  for (const { name, longest } of sets) {
    if (longest > maxPositions) {
      throw new DataError(
        `${name}: has an example of ${longest} tokens; the model's context is ${maxPositions}`,
      );
    }
  }
}

/**
 * The model's tokenizer and chat template, opened when a text or a chat needs them: rows of token ids need
 * none.
 */
function tokenizerOf(model: string): TokenizerLike {
  const tokenizer = once(() => openTokenizer(model));
  return {
    vocabSize: readLlamaConfig(model).vocabSize,
    get bosId() {
      return tokenizer().bosId;
    },
    get eosId() {
      return tokenizer().eosId;
    },
    chatTemplate: once(() => openChatTemplate(model)),
    encode: (text, options) => tokenizer().encode(text, options),
    decodeStream: (options) => tokenizer().decodeStream(options),
  };
}

function once<T>(open: () => T): () => T {
  let opened: { readonly value: T } | undefined;
  return () => {
    opened ??= { value: open() };
    return opened.value;
  };
}

/** What a run starts from. */
interface StartingAdapter extends AdapterWeights {
  readonly lora: LoraConfig;
  /** What the fresh adapter took out of the model; null: nothing. */
  readonly removed: Adapters | null;
  readonly warnings: readonly string[];
}

/** A fresh adapter, or the one that the configuration continues, which `lora` must agree with. */
async function startingAdapter(config: TrainConfig, model: LlamaModel): Promise<StartingAdapter> {
  if (config.adapter === null) {
    const { lora } = config;
    const targets = resolveTargets(lora.targets, model.linears, lora);
    requireEffect(lora, [...targets.keys()], model.linears);
    const fresh = await initAdapter(model, lora, targets, config.train.seed);
    const warnings = lora.bias === 'none' ? [] : [`lora.bias is ${lora.bias}: ${noBiases}`];
    return { lora, ...fresh, whole: initWhole(lora, model.weights, [...targets.keys()]), warnings };
  }
  const { config: lora, params, whole, warnings } = await openAdapter(model, config.adapter);
  const means = (targets: Targets) => [
    ...resolveTargets(targets, model.linears, { ...lora, ...config.lora }).keys(),
  ];
  for (const [key, value] of Object.entries(config.lora)) {
    const has = lora[key as keyof LoraConfig];
    const agrees =
      key === 'targets'
        ? means(value as Targets).join() === [...params.keys()].join()
        : JSON.stringify(has) === JSON.stringify(value);
    if (!agrees) {
      throw new ConfigError(
        `lora.${respell(key)} is ${JSON.stringify(value)}, but the adapter ${config.adapter} has ${JSON.stringify(has)}; leave it out`,
      );
    }
  }
  return { lora, params, whole, removed: null, warnings };
}
