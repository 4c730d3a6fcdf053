import { recompute, sumAtOnce, valueAndGrad } from '@flex/autograd';
import { DataError } from '@flex/base';
import { type CausalLM, type LossOptions, lossSum, scoredTokens, type TokenBatch } from '@flex/llama';
import {
  clipByGlobalNorm,
  globalNorm,
  innerProduct,
  mapStacks,
  type Optimizer,
  type OptimizerState,
  type Params,
  type UpdatedParams,
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
  /** What its columns call it. */
  readonly label: string;
  /** What the errors and warnings of a run call it: `regularizer "l2"`, of a module with its file. */
  readonly title: string;
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
  readonly model: CausalLM;
  readonly lora: ResolvedLora;
  readonly optimizer: Optimizer;
  readonly regularizers: readonly WeightedRegularizer[];
  /** Largest global norm of the gradient; null: not clipped. */
  readonly maxGradNorm: number | null;
  /**
   * Layers, from the first on, that are computed again in the backward pass instead of keeping what they
   * made: the first ones, because those after them are free again by then. The result is the same to the bit.
   */
  readonly checkpointActivations: number;
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
  /** Of each regularizer. */
  readonly penalties: readonly PenaltyResult[];
  /** ‖g‖, g the gradient of the loss and of λ·L of the regularizers that join it, before clipping: f32 []. */
  readonly gradNorm: Tensor;
  /** ‖∇loss‖ without regularizers: f32 []. */
  readonly taskGradNorm: Tensor;
  /** ‖change‖ / ‖weights before‖ over all that is trained: f32 []. */
  readonly updateRatio: Tensor;
  /** What the optimizer tells, by the names of columns: f32 []. */
  readonly diagnostics: ReadonlyMap<string, Tensor>;
}

/** Of a regularizer in an update, before λ. */
export interface PenaltyResult {
  /** L: f32 []. */
  readonly value: Tensor;
  /** ‖∇L‖: f32 []; left out where λ is 0, and no gradient taken. */
  readonly gradNorm?: Tensor;
  /** ⟨∇L, g⟩: f32 []; left out where it is no part of g. */
  readonly alongGradient?: Tensor;
}

/**
 * One optimizer update on an effective batch. A pure function of its inputs: the same inputs give the same
 * bits on one device. The caller frees the old parameters and state. Throws DataError when no token is
 * scored.
 */
export function update(setup: UpdateSetup, inputs: UpdateInputs): UpdateResult {
  return scope(() => {
    const { loss, taskGrads, pulls, grads } = wholeGradient(setup, inputs);
    const { clipped, norm } = clip(setup, grads);
    const after = moved(setup, inputs, clipped, pulls);
    return {
      ...unflattenWeights(after.params),
      state: after.state,
      loss,
      penalties: pulls.map(({ value, grads: own, enters }) => ({
        value,
        ...(own && { gradNorm: globalNorm(own) }),
        ...(own && enters === 'loss' && { alongGradient: innerProduct(grads, own) }),
      })),
      gradNorm: norm,
      taskGradNorm: grads === taskGrads ? norm : globalNorm(taskGrads),
      updateRatio: updateRatio(flattenWeights(inputs), after.params),
      diagnostics: after.diagnostics ?? new Map<string, Tensor>(),
    };
  });
}

/** The gradients of an update by parameter: of the loss, of each regularizer, of all that joins the loss. */
export function wholeGradient(setup: UpdateSetup, inputs: UpdateInputs) {
  const { value: loss, grads: taskGrads } = taskGradient(setup, inputs);
  const lowRank = lowRankOf(inputs.params);
  const pulls = setup.regularizers.map((one) => pullOf(one, lowRank, inputs.step));
  const grads = pulls.reduce<Params>(
    (sum, { grads, lambda, enters }) => (grads && enters === 'loss' ? plus(sum, grads, () => lambda) : sum),
    taskGrads,
  );
  return { loss, taskGrads, pulls, grads };
}

/** The gradient as the optimizer gets it, and its norm before. */
export function clip({ maxGradNorm }: UpdateSetup, grads: Params) {
  if (maxGradNorm === null) return { clipped: grads, norm: globalNorm(grads) };
  const { grads: clipped, norm } = clipByGlobalNorm(grads, maxGradNorm);
  return { clipped, norm };
}

/** L of a regularizer, and ∇L by parameter where λ is above 0. */
export interface Pull extends Pick<WeightedRegularizer, 'lambda' | 'enters'> {
  readonly value: Tensor;
  readonly grads?: Params;
}

/** What a regularizer does with A and B in an update. */
export function pullOf(
  { regularizer, lambda, enters }: WeightedRegularizer,
  lowRank: Adapters,
  step: number,
): Pull {
  const penalty = (adapters: Adapters) => regularizer.penalty(adapters, step);
  if (lambda === 0) return { lambda, enters, value: penalty(lowRank) };
  const { value, grads } = valueAndGrad(penalty, lowRank);
  return { lambda, enters, value, grads: flattenAdapters(grads) };
}

/** What the optimizer makes of the clipped gradient, and then of the decoupled regularizers' pulls. */
export function moved(
  { optimizer, loraPlusRatio = 1 }: UpdateSetup,
  inputs: UpdateInputs,
  clipped: Params,
  pulls: readonly Pull[],
): UpdatedParams {
  const { state, step, lr, curvature } = inputs;
  const before = flattenWeights(inputs);
  const factor = learningRateFactors(before, loraPlusRatio);
  const lrOf = (name: string) => lr * (factor.get(name) ?? 1);
  const after = optimizer.update(clipped, state, before, { step, lr, lrOf, ...(curvature && { curvature }) });
  const params = pulls.reduce(
    (sum, { grads, lambda, enters }) =>
      grads && enters === 'decoupled' ? plus(sum, grads, (name) => -lrOf(name) * lambda) : sum,
    after.params,
  );
  return { ...after, params };
}

/** Mean loss over all scored tokens, and its gradient by parameter, one batch after the other. */
export function taskGradient(
  setup: UpdateSetup,
  inputs: AdapterWeights & Pick<UpdateInputs, 'batches' | 'step'>,
) {
  const { params, whole } = inputs;
  return taskTerms(setup, inputs)
    .map((term) =>
      scope(() => {
        const { value, grads } = valueAndGrad(term, { params, whole });
        return { value, grads: mapStacks([flattenWeights(grads)], ([g]) => g) };
      }),
    )
    .reduce((sum, { value, grads }) => ({
      value: add(sum.value, value),
      grads: mapStacks([sum.grads, grads], ([x, y]) => add(x, y)),
    }));
}

/** The labels of a pass's scored rows, from row `first` on, from their logits; see LossOptions. */
type DrawLabels = (logits: Tensor, pass: number, first: number) => Tensor;

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
    const labelsOf = drawLabels && ((logits: Tensor, first: number) => drawLabels(logits, pass, first));
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
    runLayer: (layer, _, index) => (index < checkpointActivations ? recompute(layer) : layer()),
    labelsOf,
    sumOf: sumAtOnce,
  });
}

/** a + scale·b by name; a alone where b has none. */
function plus(a: Params, b: Params, scaleOf: (name: string) => number): Map<string, Tensor> {
  const both = new Map([...a].filter(([name]) => b.has(name)));
  const sums = mapStacks([both, b], ([x, y], scale) => addScaled(x, y, scale), scaleOf);
  return new Map([...a].map(([name, x]) => [name, sums.get(name) ?? x]));
}
