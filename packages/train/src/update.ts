import { mapTree, recompute, valueAndGrad } from '@flex/autograd';
import { DataError } from '@flex/base';
import { type LlamaModel, type LossOptions, lossSum, scoredTokens, type TokenBatch } from '@flex/llama';
import {
  clipByGlobalNorm,
  globalNorm,
  type Optimizer,
  type OptimizerState,
  type Params,
  updateRatio,
} from '@flex/optim';
import {
  type Adapters,
  type AdapterWeights,
  flattenAdapters,
  flattenWeights,
  learningRateFactors,
  lowRankOf,
  type Regularizer,
  type ResolvedLora,
  unflattenWeights,
  withAdapter,
} from '@flex/peft';
import { add, addScaled, mul, scope, type Tensor } from '@flex/tensor';

/** A penalty and how strongly, and where, it pulls. */
export interface WeightedRegularizer {
  /** What its columns, and the errors and warnings of a run, call it. */
  readonly label: string;
  readonly regularizer: Regularizer;
  /** λ. */
  readonly lambda: number;
  /**
   * `loss`: λ·L joins the loss before clipping. `decoupled`: θ ← θ − lr·λ·∇L after the optimizer's step, lr being
   * the parameter's own, as weight decay has it.
   */
  readonly enters: 'loss' | 'decoupled';
}

/** What stays the same from update to update. */
export interface UpdateSetup {
  readonly model: LlamaModel;
  readonly lora: ResolvedLora;
  readonly optimizer: Optimizer;
  readonly regularizers: readonly WeightedRegularizer[];
  /** Largest global norm of the gradient; null: not clipped. */
  readonly maxGradNorm: number | null;
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  readonly checkpointActivations: boolean;
  /** Of the dropout masks. */
  readonly seed: number;
  /** Batches of a whole update; the last of an epoch may have fewer. */
  readonly gradAccumulation: number;
  /** LoRA+'s λ, see `learningRateFactors`; left out: 1. */
  readonly loraPlusRatio?: number;
}

export interface UpdateInputs extends AdapterWeights {
  readonly state: OptimizerState;
  /** The effective batch, in pieces that fit the device. */
  readonly batches: readonly TokenBatch[];
  /** Counted from 1. */
  readonly step: number;
  /** Learning rate of this update. */
  readonly lr: number;
  /** What `estimateCurvature` gives for this update. */
  readonly curvature?: Params;
}

export interface UpdateResult extends AdapterWeights {
  readonly state: OptimizerState;
  /** Mean cross-entropy over the scored tokens of the whole effective batch, nats: f32 []. */
  readonly loss: Tensor;
  /** L of each regularizer, before λ: f32 []. */
  readonly penalties: readonly Tensor[];
  /** Global norm of the gradient of loss + λ·L, before clipping: f32 []. */
  readonly gradNorm: Tensor;
  /** ‖change‖ / ‖weights before‖ over all that is trained: f32 []. */
  readonly updateRatio: Tensor;
  /** What the optimizer tells, by the names of columns: f32 []. */
  readonly diagnostics: ReadonlyMap<string, Tensor>;
}

/**
 * One optimizer update on an effective batch. A pure function of its inputs: the same inputs give the same
 * bits on one device. The caller frees the old parameters and state. Throws DataError when no token is
 * scored.
 */
export function update(setup: UpdateSetup, inputs: UpdateInputs): UpdateResult {
  return scope(() => {
    const { optimizer, maxGradNorm } = setup;
    const { state, step, lr, curvature } = inputs;
    const task = taskGradient(setup, inputs);
    const lowRank = lowRankOf(inputs.params);
    let grads = flattenWeights(task.grads);
    const penalties: Tensor[] = [];
    let decoupled: Params | null = null;
    for (const { regularizer, lambda, enters } of setup.regularizers) {
      const penalty = (adapters: Adapters) => regularizer.penalty(adapters, step);
      if (lambda === 0) {
        penalties.push(penalty(lowRank));
        continue;
      }
      const pull = valueAndGrad(penalty, lowRank);
      const pulls = flattenAdapters(pull.grads);
      penalties.push(pull.value);
      if (enters === 'loss') grads = plus(grads, pulls, () => lambda);
      else if (decoupled) decoupled = plus(decoupled, pulls, () => lambda);
      else decoupled = new Map([...pulls].map(([name, g]) => [name, mul(g, lambda)]));
    }
    const { grads: clipped, norm } =
      maxGradNorm === null ? { grads, norm: globalNorm(grads) } : clipByGlobalNorm(grads, maxGradNorm);
    const before = flattenWeights(inputs);
    const factor = learningRateFactors(before, setup.loraPlusRatio ?? 1);
    const lrOf = (name: string) => lr * (factor.get(name) ?? 1);
    const info = { step, lr, lrOf, ...(curvature && { curvature }) };
    const after = optimizer.update(clipped, state, before, info);
    const moved = decoupled ? plus(after.params, decoupled, (name) => -lrOf(name)) : after.params;
    return {
      ...unflattenWeights(moved),
      state: after.state,
      loss: task.value,
      penalties,
      gradNorm: norm,
      updateRatio: updateRatio(before, moved),
      diagnostics: after.diagnostics ?? new Map<string, Tensor>(),
    };
  });
}

/** Mean loss over all scored tokens of the batches, and its gradient, one batch after the other. */
export function taskGradient(
  setup: UpdateSetup,
  inputs: AdapterWeights & Pick<UpdateInputs, 'batches' | 'step'>,
) {
  const { params, whole } = inputs;
  return taskTerms(setup, inputs)
    .map((term) => valueAndGrad(term, { params, whole }))
    .reduce((sum, { value, grads }) => ({
      value: add(sum.value, value),
      grads: mapTree(add, sum.grads, grads),
    }));
}

/** The labels of a pass's scored rows from their logits; see LossOptions. */
type DrawLabels = (logits: Tensor, pass: number) => Tensor;

/**
 * The mean loss over all scored tokens as a sum, of a function of the weights for each batch that has some.
 * They are to be differentiated one after the other, so that one batch's activations are held at a time.
 */
export function taskTerms(
  setup: UpdateSetup,
  { batches, step }: Pick<UpdateInputs, 'batches' | 'step'>,
  drawLabels?: DrawLabels,
): ((weights: AdapterWeights) => Tensor)[] {
  const total = scoredTokensOf(batches);
  if (total === 0) throw new DataError(`update ${step}: none of its examples has a scored token`);
  return batches.flatMap((batch, i) => {
    if (scoredTokens(batch) === 0) return [];
    const pass = (step - 1) * setup.gradAccumulation + i;
    const labelsOf = drawLabels && ((logits: Tensor) => drawLabels(logits, pass));
    return [(weights: AdapterWeights) => mul(taskLoss(setup, weights, batch, { pass, labelsOf }), 1 / total)];
  });
}

/** Scored tokens of all batches. */
export const scoredTokensOf = (batches: readonly TokenBatch[]): number =>
  batches.reduce((n, batch) => n + scoredTokens(batch), 0);

function taskLoss(
  { model, lora, checkpointActivations, seed }: UpdateSetup,
  { params, whole }: AdapterWeights,
  batch: TokenBatch,
  { pass, labelsOf }: { readonly pass: number; readonly labelsOf: LossOptions['labelsOf'] },
): Tensor {
  return lossSum(withAdapter(model, { params, whole }, lora, { seed, step: pass }), batch, {
    runLayer: checkpointActivations ? (layer, x) => recompute(layer, [x, params, whole]) : undefined,
    labelsOf,
  });
}

/** a + scale·b by name; a alone where b has none. */
function plus(a: Params, b: Params, scaleOf: (name: string) => number): Map<string, Tensor> {
  return new Map(
    [...a].map(([name, x]) => {
      const y = b.get(name);
      return [name, y ? addScaled(x, y, scaleOf(name)) : x];
    }),
  );
}
