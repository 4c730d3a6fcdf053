import { ShapeError, sameSpec, show, type Tensor } from '@flex/tensor';

/** Tensors by name, such as `model.layers.0.mlp.gate_proj.a`. */
export type Params = ReadonlyMap<string, Tensor>;

/** What an optimizer remembers between updates, as named tensors: `m.<parameter>`, `v.<parameter>`. */
export type OptimizerState = ReadonlyMap<string, Tensor>;

/** What an update is told besides the tensors. */
export interface UpdateInfo {
  /** Number of this update, from 1. */
  readonly step: number;
  /** Learning rate of this update: `lr` of the optimizer times the schedule's factor. */
  readonly lr: number;
}

/**
 * A rule that turns gradients into new parameters: a plain value, which holds no state of its own.
 * `checkOptimizer` of `@flex/optim/testing` tests one in a line.
 */
export interface Optimizer {
  /** The learning rate that the schedule scales. */
  readonly lr: number;
  /** The state before the first update. */
  init(params: Params): OptimizerState;
  /**
   * The parameters and the state after one update: new tensors under the same names and of the same shapes.
   * The old parameters and the gradients are left alone, for the caller to free; the old state is given up,
   * so that the new one may lie in its memory. Runs on the device, without reading back.
   */
  update(
    grads: Params,
    state: OptimizerState,
    params: Params,
    info: UpdateInfo,
  ): { params: Map<string, Tensor>; state: OptimizerState };
}

/**
 * The gradient of the parameter `name`, as an optimizer named `optimizer` needs it.
 * Throws ShapeError when there is none, or one of another shape or element type than the parameter.
 */
export function gradientOf(optimizer: string, grads: Params, name: string, param: Tensor): Tensor {
  const grad = grads.get(name);
  if (!grad) throw new ShapeError(`${optimizer}: there is no gradient for ${name}, ${show(param)}`);
  if (!sameSpec(grad, param)) {
    throw new ShapeError(`${optimizer}: the gradient of ${name} must be ${show(param)}, got ${show(grad)}`);
  }
  return grad;
}

/**
 * The state tensor `key` that belongs to a parameter.
 * Throws ShapeError when there is none, or one of another shape: the state is another run's.
 */
export function stateOf(optimizer: string, state: OptimizerState, key: string, param: Tensor): Tensor {
  const found = state.get(key);
  if (!found) throw new ShapeError(`${optimizer}: its state has no ${key}; it is of other parameters`);
  if (!sameSpec(found, param)) {
    throw new ShapeError(`${optimizer}: its state ${key} must be ${show(param)}, got ${show(found)}`);
  }
  return found;
}
