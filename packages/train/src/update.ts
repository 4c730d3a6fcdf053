import { mapTree, recompute, valueAndGrad } from '@flex/autograd';
import { DataError } from '@flex/base';
import { type LlamaModel, lossSum, scoredTokens, type TokenBatch } from '@flex/llama';
import { clipByGlobalNorm, globalNorm, type Optimizer, type OptimizerState, type Params } from '@flex/optim';
import {
  type AdapterWeights,
  type DropoutState,
  flattenAdapters,
  flattenWeights,
  lowRankOf,
  type Regularizer,
  type ResolvedLora,
  unflattenWeights,
  withAdapter,
} from '@flex/peft';
import { add, addScaled, mul, scope, type Tensor, zeros } from '@flex/tensor';

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
}

export interface UpdateInputs extends AdapterWeights {
  readonly state: OptimizerState;
  /** The effective batch, in pieces that fit the device. */
  readonly batches: readonly TokenBatch[];
  /** Counted from 1. */
  readonly step: number;
  /** Learning rate of this update. */
  readonly lr: number;
}

export interface UpdateResult extends AdapterWeights {
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
    const { state, step, lr } = inputs;
    const task = taskGradient(setup, inputs);
    const lowRank = lowRankOf(inputs.params);
    let grads = flattenWeights(task.grads);
    let penalty = zeros(model.backend, []);
    let decoupled: Params | null = null;
    for (const { regularizer, lambda, enters } of setup.regularizers) {
      const pull = valueAndGrad((adapters) => regularizer.penalty(adapters, step), lowRank);
      const pulls = flattenAdapters(pull.grads);
      penalty = add(penalty, pull.value);
      if (enters === 'loss') grads = plus(grads, pulls, lambda);
      else if (decoupled) decoupled = plus(decoupled, pulls, lambda);
      else decoupled = new Map([...pulls].map(([name, g]) => [name, mul(g, lambda)]));
    }
    const { grads: clipped, norm } =
      maxGradNorm === null ? { grads, norm: globalNorm(grads) } : clipByGlobalNorm(grads, maxGradNorm);
    const after = optimizer.update(clipped, state, flattenWeights(inputs), { step, lr });
    return {
      ...unflattenWeights(decoupled ? plus(after.params, decoupled, -lr) : after.params),
      state: after.state,
      loss: task.loss,
      penalty,
      gradNorm: norm,
    };
  });
}

/** Mean loss over all scored tokens of the batches, and its gradient, one batch after the other. */
function taskGradient(setup: UpdateSetup, { params, whole, batches, step }: UpdateInputs) {
  const total = batches.reduce((n, batch) => n + scoredTokens(batch), 0);
  let sums: { loss: Tensor; grads: AdapterWeights } | null = null;
  for (const [i, batch] of batches.entries()) {
    if (scoredTokens(batch) === 0) continue;
    const dropout = { seed: setup.seed, step: (step - 1) * setup.gradAccumulation + i };
    const { value, grads } = valueAndGrad(
      (weights) => mul(taskLoss(setup, weights, batch, dropout), 1 / total),
      { params, whole },
    );
    sums = sums
      ? { loss: add(sums.loss, value), grads: mapTree(add, sums.grads, grads) }
      : { loss: value, grads };
  }
  if (!sums) throw new DataError(`update ${step}: none of its examples has a scored token`);
  return sums;
}

function taskLoss(
  { model, lora, checkpointActivations }: UpdateSetup,
  { params, whole }: AdapterWeights,
  batch: TokenBatch,
  dropout: DropoutState,
): Tensor {
  return lossSum(withAdapter(model, { params, whole }, lora, dropout), batch, {
    runLayer: checkpointActivations ? (layer, x) => recompute(layer, [x, params, whole]) : undefined,
  });
}

/** a + scale·b by name; a alone where b has none. */
function plus(a: Params, b: Params, scale: number): Map<string, Tensor> {
  return new Map(
    [...a].map(([name, x]) => {
      const y = b.get(name);
      return [name, y ? addScaled(x, y, scale) : x];
    }),
  );
}
