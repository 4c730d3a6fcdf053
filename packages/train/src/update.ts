import { mapTree, recompute, valueAndGrad } from '@flex/autograd';
import { DataError } from '@flex/base';
import { type LlamaModel, lossSum, scoredTokens, type TokenBatch } from '@flex/llama';
import { clipByGlobalNorm, globalNorm, type Optimizer, type OptimizerState } from '@flex/optim';
import {
  type Adapters,
  type DropoutState,
  flattenAdapters,
  type Regularizer,
  type ResolvedLora,
  unflattenAdapters,
  withLora,
} from '@flex/peft';
import { add, addScaled, mul, scope, type Tensor } from '@flex/tensor';

/** A penalty and how strongly, and where, it pulls. */
export interface WeightedRegularizer {
  /** What its columns, and the errors and warnings of a run, call it. */
  readonly label: string;
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

export interface UpdateInputs {
  readonly params: Adapters;
  readonly state: OptimizerState;
  /** The effective batch, in pieces that fit the device. */
  readonly batches: readonly TokenBatch[];
  /** Counted from 1. */
  readonly step: number;
  /** Learning rate of this update. */
  readonly lr: number;
}

export interface UpdateResult {
  readonly params: Adapters;
  readonly state: OptimizerState;
  /** Mean cross-entropy over the scored tokens of the whole effective batch, nats: f32 []. */
  readonly loss: Tensor;
  /** L of each regularizer, before λ: f32 []. */
  readonly penalties: readonly Tensor[];
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
    const { optimizer, maxGradNorm } = setup;
    const { params, state, step, lr } = inputs;
    const task = taskGradient(setup, inputs);
    let { grads } = task;
    const penalties: Tensor[] = [];
    let decoupled: Adapters | null = null;
    for (const { regularizer, lambda, enters } of setup.regularizers) {
      const penalty = (adapters: Adapters) => regularizer.penalty(adapters, step);
      if (lambda === 0) {
        penalties.push(penalty(params));
        continue;
      }
      const pull = valueAndGrad(penalty, params);
      penalties.push(pull.value);
      if (enters === 'loss') grads = plus(grads, pull.grads, lambda);
      else if (decoupled) decoupled = plus(decoupled, pull.grads, lambda);
      else decoupled = mapTree((g) => mul(g, lambda), pull.grads);
    }
    const flat = flattenAdapters(grads);
    const { grads: clipped, norm } =
      maxGradNorm === null ? { grads: flat, norm: globalNorm(flat) } : clipByGlobalNorm(flat, maxGradNorm);
    const after = optimizer.update(clipped, state, flattenAdapters(params), { step, lr });
    const moved = unflattenAdapters(after.params);
    return {
      params: decoupled ? plus(moved, decoupled, -lr) : moved,
      state: after.state,
      loss: task.loss,
      penalties,
      gradNorm: norm,
    };
  });
}

/** Mean loss over all scored tokens of the batches, and its gradient, one batch after the other. */
export function taskGradient(
  setup: UpdateSetup,
  { params, batches, step }: Pick<UpdateInputs, 'params' | 'batches' | 'step'>,
) {
  const total = batches.reduce((n, batch) => n + scoredTokens(batch), 0);
  let sums: { loss: Tensor; grads: Adapters } | null = null;
  for (const [i, batch] of batches.entries()) {
    if (scoredTokens(batch) === 0) continue;
    const dropout = { seed: setup.seed, step: (step - 1) * setup.gradAccumulation + i };
    const { value, grads } = valueAndGrad(
      (adapters) => mul(taskLoss(setup, adapters, batch, dropout), 1 / total),
      params,
    );
    sums = sums ? { loss: add(sums.loss, value), grads: plus(sums.grads, grads, 1) } : { loss: value, grads };
  }
  if (!sums) throw new DataError(`update ${step}: none of its examples has a scored token`);
  return sums;
}

function taskLoss(
  { model, lora, checkpointActivations }: UpdateSetup,
  params: Adapters,
  batch: TokenBatch,
  dropout: DropoutState,
): Tensor {
  return lossSum(model, batch, {
    linear: withLora(model.linear, params, lora, dropout),
    runLayer: checkpointActivations ? (layer, x) => recompute(layer, [x, params]) : undefined,
  });
}

/** a + scale·b, tensor by tensor. */
function plus(a: Adapters, b: Adapters, scale: number): Adapters {
  return mapTree((x, y) => addScaled(x, y, scale), a, b);
}
