import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { treeLeaves } from '@flex/autograd';
import { ConfigError, DataError } from '@flex/base';
import { type LlamaModel, loadLlama, openTokenizer, readLlamaConfig, type Tokenizer } from '@flex/llama';
import { type OptimizerState, schedule } from '@flex/optim';
import {
  type Adapters,
  flattenAdapters,
  initLora,
  type LoraConfig,
  readAdapter,
  resolveLora,
  resolveTargets,
  type Targets,
  withLora,
  writeAdapter,
} from '@flex/peft';
import { type Backend, eachTensor, keep, size } from '@flex/tensor';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { collate, type Plan, planUpdates } from './data/batches.ts';
import { type DataSet, loadDataSet } from './data/data-set.ts';
import type { TokenizerLike } from './data/encode.ts';
import { meanLoss } from './evaluate.ts';
import { makeOptimizer, makeRegularizers, type RecipeParts } from './parts.ts';
import { openRunFolder, type RunFolder } from './run-folder.ts';
import { type UpdateSetup, update } from './update.ts';

/** A line of metrics.jsonl. */
export interface StepMetrics {
  /** From 1. */
  readonly step: number;
  /** Passes over the data done after this update, as a fraction. */
  readonly epoch: number;
  readonly lr: number;
  /** Mean cross-entropy over the update's scored tokens, nats. */
  readonly loss: number;
  /** Σ L of the regularizers, before λ. */
  readonly penalty: number;
  /** Global norm before clipping, λ·∇L included. */
  readonly grad_norm: number;
  /** Tokens of the update, padding not counted. */
  readonly tokens: number;
  readonly tokens_per_second: number;
  /** Wall time of the update. */
  readonly seconds: number;
  /** Most bytes of tensors alive at once so far on the device. */
  readonly memory_bytes: number;
  /** Held-out losses after this update, where it was time for them. */
  readonly eval?: Readonly<Record<string, number>>;
}

/** What is known of a run before its first update. */
export interface RunInfo {
  readonly out: string;
  readonly device: string;
  readonly model: string;
  readonly trainableParameters: number;
  readonly examples: number;
  /** Rows left out, and why. */
  readonly skipped: readonly string[];
  /** What was not done as the model's or the adapter's files say, a line each. */
  readonly warnings: readonly string[];
  /** Updates of the whole run. */
  readonly steps: number;
  /** Updates already done, when resuming. */
  readonly done: number;
}

/** How a run ended. Also written as summary.json. */
export interface RunSummary {
  readonly status: 'done' | 'interrupted';
  /** Of everything that decides the run's numbers. */
  readonly digest: string;
  readonly steps: number;
  readonly out: string;
  readonly adapter: string;
  /**
   * Held-out losses by name, nats a token: before the first update (of this process, where it resumed) and
   * after the last; empty where the run was interrupted.
   */
  readonly eval: Readonly<Record<string, { readonly before: number; readonly after: number }>>;
  /** Losses of the first and the last update of this process; null where it made none. */
  readonly loss: { readonly first: number | null; readonly last: number | null };
  readonly tokens: number;
  readonly seconds: number;
  readonly tokens_per_second: number;
  readonly peak_memory_bytes: number;
}

export interface TrainOptions {
  readonly backend: Backend;
  /** Values that a recipe puts in place of modules. */
  readonly parts?: RecipeParts;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  /** Aborted: finish the update, write everything, return. */
  readonly signal?: AbortSignal;
  readonly onStart?: (info: RunInfo) => void;
  readonly onStep?: (metrics: StepMetrics, steps: number) => void;
  readonly onEval?: (losses: Readonly<Record<string, number>>, step: number) => void;
}

/** The summary of a run that needs no resuming: it is the same run, and done. */
function finishedRun(out: string, digest: string): RunSummary | null {
  const file = join(out, 'summary.json');
  if (!existsSync(file)) return null;
  const summary = JSON.parse(readFileSync(file, 'utf8')) as RunSummary;
  return summary.status === 'done' && summary.digest === digest ? summary : null;
}

/** What an update needs and changes. */
interface Trainee {
  params: Adapters;
  state: OptimizerState;
}

/**
 * Fine-tunes an adapter as the configuration says, and writes the run's folder. The same configuration gives
 * the same adapter, to the bit, on one device, whether interrupted and resumed or not. Throws ConfigError or
 * DataError, before anything is written, for what is wrong with the configuration, the model, the adapter or
 * the data.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<RunSummary> {
  const { backend, parts = new Map(), resume = false, overwrite = false } = options;
  const optimizer = await makeOptimizer(config.optimizer, parts);
  const tokenizer = tokenizerOf(config.model);
  const data = await loadDataSet(config.data, tokenizer);
  const heldOut = distinct(await Promise.all(config.eval.map((entry) => loadDataSet(entry, tokenizer))));
  checkContext(config.model, [data, ...heldOut]);
  const plan = planUpdates(data.examples.length, { ...config.train, shuffle: config.data.shuffle });
  const folder = openRunFolder(config, { resume, overwrite });
  const finished = resume ? finishedRun(config.out, folder.runDigest) : null;
  if (finished) return finished;
  const model = loadLlama(backend, config.model, { dtype: config.dtype });
  const { lora, params, warnings } = startingAdapter(config, backend, model);
  const start = () => startingAdapter(config, backend, model).params;
  const regularizers = await makeRegularizers(config.regularizer, parts, start);
  const saved = resume ? loadCheckpoint(backend, config.out, folder.runDigest, model.linears) : null;
  const trainee: Trainee = saved ?? { params, state: optimizer.init(flattenAdapters(params)) };
  if (saved) eachTensor(params, (t) => t.dispose());
  const done = saved?.step ?? 0;
  folder.start({ backend, config, data, heldOut, lora, optimizer, regularizers, done });
  options.onStart?.({
    out: config.out,
    device: backend.description,
    model: config.model,
    trainableParameters: treeLeaves(trainee.params).reduce((n, t) => n + size(t.shape), 0),
    examples: data.examples.length,
    skipped: data.skipped,
    warnings: [...model.warnings, ...warnings],
    steps: plan.steps,
    done,
  });
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(lora, trainee.params),
    optimizer,
    regularizers,
    maxGradNorm: config.train.max_grad_norm,
    checkpointActivations: shouldCheckpoint(config, model),
    seed: config.train.seed,
    gradAccumulation: config.train.grad_accumulation,
  };
  return run({ config, options, folder, setup, trainee, data, heldOut, plan, done });
}

interface Run {
  readonly config: TrainConfig;
  readonly options: TrainOptions;
  readonly folder: RunFolder;
  readonly setup: UpdateSetup;
  readonly trainee: Trainee;
  readonly data: DataSet;
  readonly heldOut: readonly DataSet[];
  readonly plan: Plan;
  readonly done: number;
}

async function run(context: Run): Promise<RunSummary> {
  const { config, options, folder, setup, trainee, heldOut, plan, done } = context;
  const { eval_every, save_every } = config.train;
  const started = performance.now();
  const before = await evaluate(context, done);
  let after = before;
  let tokens = 0;
  let trainSeconds = 0;
  const losses: number[] = [];
  let step = done;
  const save = () =>
    saveCheckpoint(config.out, { ...trainee, step, run: folder.runDigest }, setup.lora.config, config.model);
  while (step < plan.steps && !options.signal?.aborted) {
    step++;
    const metrics = await oneUpdate(context, step);
    const last = step === plan.steps;
    const timely = last || (eval_every > 0 && step % eval_every === 0);
    const due = timely && heldOut.length > 0;
    if (due) after = await evaluate(context, step);
    const reports = timely ? await reported(setup, trainee.params) : {};
    const line = { ...metrics, ...reports, ...(due ? { eval: after } : {}) };
    folder.appendMetrics(line);
    options.onStep?.(line, plan.steps);
    losses.push(metrics.loss);
    tokens += metrics.tokens;
    trainSeconds += metrics.seconds;
    if (save_every > 0 && step % save_every === 0 && !last) await save();
  }
  const interrupted = step < plan.steps;
  if (interrupted) await save();
  const adapter = join(config.out, 'adapter');
  await writeAdapter(adapter, trainee.params, setup.lora.config, { baseModel: config.model });
  const summary: RunSummary = {
    status: interrupted ? 'interrupted' : 'done',
    digest: folder.runDigest,
    steps: step,
    out: config.out,
    adapter,
    eval: interrupted
      ? {}
      : Object.fromEntries(
          Object.keys(before).map((name) => [name, { before: before[name], after: after[name] }]),
        ),
    loss: { first: losses.at(0) ?? null, last: losses.at(-1) ?? null },
    tokens,
    seconds: (performance.now() - started) / 1000,
    tokens_per_second: trainSeconds > 0 ? tokens / trainSeconds : 0,
    peak_memory_bytes: setup.model.backend.stats.peakBytes,
  };
  folder.finish(summary);
  return summary;
}

/** What the regularizers tell of the adapter, such as the share of its power at low frequencies. */
async function reported({ regularizers }: UpdateSetup, params: Adapters): Promise<Record<string, number>> {
  const reports = await Promise.all(
    regularizers.map(({ regularizer }) => regularizer.diagnostics?.(params) ?? {}),
  );
  return Object.assign({}, ...reports);
}

/** Runs update `step` on its batches and puts the new parameters and state in place of the old ones. */
async function oneUpdate({ config, setup, trainee, data, plan }: Run, step: number): Promise<StepMetrics> {
  const started = performance.now();
  const factor = schedule({
    name: config.schedule.name,
    warmupSteps: config.schedule.warmup_steps,
    totalSteps: plan.steps,
    minLrRatio: config.schedule.min_lr_ratio,
  });
  const lr = setup.optimizer.options.lr * factor(step - 1);
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

async function evaluate(
  { config, options, setup, trainee, heldOut }: Run,
  step: number,
): Promise<Record<string, number>> {
  const losses: Record<string, number> = {};
  const linear = withLora(setup.model.linear, trainee.params, setup.lora);
  for (const set of heldOut) {
    losses[set.name] = await meanLoss(setup.model, set.batches(config.train.batch_size), linear);
  }
  if (heldOut.length > 0) options.onEval?.(losses, step);
  return losses;
}

/** The sets under names of their own: one that a set before it has gets its number behind it. */
function distinct(sets: readonly DataSet[]): DataSet[] {
  const count = (i: number) => sets.slice(0, i + 1).filter(({ name }) => name === sets[i].name).length;
  return sets.map((set, i) => (count(i) > 1 ? { ...set, name: `${set.name} (${count(i)})` } : set));
}

/** Throws DataError for an example that is longer than the model's context. */
function checkContext(model: string, sets: readonly DataSet[]): void {
  const { maxPositions } = readLlamaConfig(model);
  for (const { name, examples } of sets) {
    const longest = examples.reduce((most, { input_ids }) => Math.max(most, input_ids.length), 0);
    if (longest > maxPositions) {
      throw new DataError(
        `${name}: has an example of ${longest} tokens; the model's context is ${maxPositions}`,
      );
    }
  }
}

/** The model's tokenizer, opened when a text needs it: rows of token ids need none. */
function tokenizerOf(model: string): TokenizerLike {
  let opened: Tokenizer | undefined;
  const open = () => {
    opened ??= openTokenizer(model);
    return opened;
  };
  return {
    vocabSize: readLlamaConfig(model).vocabSize,
    get bosId() {
      return open().bosId;
    },
    get eosId() {
      return open().eosId;
    },
    encode: (text, options) => open().encode(text, options),
  };
}

/** A fresh adapter, or the one that the configuration continues, which `lora` must agree with. */
function startingAdapter(
  config: TrainConfig,
  backend: Backend,
  model: LlamaModel,
): { lora: LoraConfig; params: Adapters; warnings: readonly string[] } {
  if (config.adapter === null) {
    const targets = resolveTargets(config.lora.targets, model.linears);
    const params = initLora(backend, config.lora, targets, config.train.seed);
    return { lora: config.lora, params, warnings: [] };
  }
  const { config: lora, params, warnings } = readAdapter(backend, config.adapter, model.linears);
  const means = (targets: Targets) => [...resolveTargets(targets, model.linears).keys()];
  for (const [key, value] of Object.entries(config.lora)) {
    const has = lora[key as keyof LoraConfig];
    const agrees =
      key === 'targets'
        ? means(value as Targets).join() === [...params.keys()].join()
        : JSON.stringify(has) === JSON.stringify(value);
    if (!agrees) {
      throw new ConfigError(
        `lora.${key} is ${JSON.stringify(value)}, but the adapter ${config.adapter} has ${JSON.stringify(has)}; leave it out`,
      );
    }
  }
  return { lora, params, warnings };
}

/** Bytes of kept activations above which `auto` recomputes them in the backward pass. */
const activationBudget = 4 * 2 ** 30;

/**
 * `auto`: when the activations of the largest batch would be over 4 GiB (f32, per layer ≈ 12e + 5f + 2·h·t a
 * token).
 */
function shouldCheckpoint({ train, data }: TrainConfig, { config }: LlamaModel): boolean {
  if (train.checkpoint_activations !== 'auto') return train.checkpoint_activations;
  const { hiddenSize: e, intermediateSize: f, heads: h, layers } = config;
  const t = data.max_length;
  return 4 * train.batch_size * t * layers * (12 * e + 5 * f + 2 * h * t) > activationBudget;
}
