import { type Parameters, recompute, valueAndGrad } from '@flex/autograd';
import { DataError } from '@flex/base';
import { type LlamaModel, lossSum, scoredTokens, type TokenBatch } from '@flex/llama';
import { clipByGlobalNorm, globalNorm, type Optimizer, type OptimizerState } from '@flex/optim';
import { type LoraConfig, type Regularizer, withLora } from '@flex/peft';
import { add, addScaled, mul, scope, type Tensor, tensor } from '@flex/tensor';

/** A penalty and how strongly, and where, it pulls. */
export interface WeightedRegularizer {
  readonly regularizer: Regularizer;
  /** λ. */
  readonly lambda: number;
  /** `loss`: λ·L joins the loss before clipping. `decoupled`: θ ← θ − lr·λ·∇L after the optimizer's step. */
  readonly enters: 'loss' | 'decoupled';
}

/** What stays the same from update to update. */
export interface UpdateSetup {
  readonly model: LlamaModel;
  readonly lora: LoraConfig;
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
}

export interface UpdateInputs {
  readonly params: Parameters;
  readonly state: OptimizerState;
  /** The effective batch, in pieces that fit the device. */
  readonly batches: readonly TokenBatch[];
  /** Counted from 1. */
  readonly step: number;
  /** Learning rate of this update. */
  readonly lr: number;
}

export interface UpdateResult {
  readonly params: Map<string, Tensor>;
  readonly state: OptimizerState;
  /** Mean cross-entropy over the scored tokens of the whole effective batch, nats: f32 []. */
  readonly loss: Tensor;
  /** Σ L over the regularizers, before λ: f32 []. */
  readonly penalty: Tensor;
  /** Global norm of the gradient of loss + λ·L, before clipping: f32 []. */
  readonly gradNorm: Tensor;
}

/**
 * One optimizer update on an effective batch. A pure function of its inputs: the same inputs give the same
 * bits on one device. The caller frees the old parameters and state. Throws DataError when no token is
 * scored.
 */
export function update(setup: UpdateSetup, inputs: UpdateInputs): UpdateResult {
  return scope(() => {
    const { optimizer, maxGradNorm, model } = setup;
    const { params, state, step, lr } = inputs;
    const task = taskGradient(setup, inputs);
    const zero = tensor(model.backend, [0], []);
    let { grads } = task;
    let penalty = zero;
    let decoupled: Parameters | null = null;
    for (const { regularizer, lambda, enters } of setup.regularizers) {
      const pull = valueAndGrad(() => regularizer.penalty(params, step), params);
      penalty = add(penalty, pull.value);
      if (enters === 'loss') grads = addGradients(grads, pull.grads, lambda);
      else decoupled = addGradients(decoupled, pull.grads, lambda);
    }
    const { grads: clipped, norm } =
      maxGradNorm === null ? { grads, norm: globalNorm(grads) } : clipByGlobalNorm(grads, maxGradNorm);
    const after = optimizer.update(clipped, state, params, { step, lr });
    return {
      params: decoupled ? addGradients(after.params, decoupled, -lr) : new Map(after.params),
      state: after.state,
      loss: task.loss,
      penalty,
      gradNorm: norm,
    };
  });
}

/** Mean loss over all scored tokens of the batches, and its gradient, one batch after the other. */
function taskGradient(setup: UpdateSetup, { params, batches, step }: UpdateInputs) {
  const total = batches.reduce((n, batch) => n + scoredTokens(batch), 0);
  let sums: { loss: Tensor; grads: Map<string, Tensor> } | null = null;
  for (const [i, batch] of batches.entries()) {
    if (scoredTokens(batch) === 0) continue;
    const dropout = { seed: setup.seed, step: (step - 1) * setup.gradAccumulation + i };
    const { value, grads } = valueAndGrad(
      () => mul(taskLoss(setup, params, batch, dropout), 1 / total),
      params,
    );
    sums = sums
      ? { loss: add(sums.loss, value), grads: addGradients(sums.grads, grads, 1) }
      : { loss: value, grads };
  }
  if (!sums) throw new DataError(`update ${step}: none of its examples has a scored token`);
  return sums;
}

function taskLoss(
  { model, lora, checkpointActivations }: UpdateSetup,
  params: Parameters,
  batch: TokenBatch,
  dropout: { seed: number; step: number },
): Tensor {
  const linear = withLora(model.linear, params, lora, dropout);
  const adapters = [...params.values()];
  return lossSum(model, batch, {
    linear,
    runLayer: checkpointActivations ? (layer, x) => recompute(layer, [x, ...adapters]) : undefined,
  });
}

/** a + scale·b by name; b·scale where there is no a yet. */
function addGradients(a: Parameters | null, b: Parameters, scale: number): Map<string, Tensor> {
  const sumOf = (name: string, g: Tensor): Tensor => {
    const before = a?.get(name);
    if (before) return addScaled(before, g, scale);
    return scale === 1 ? g : mul(g, scale);
  };
  return new Map([...b].map(([name, g]) => [name, sumOf(name, g)]));
}
