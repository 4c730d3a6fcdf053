import { ShapeError, sameSpec, scope, show, size, type Tensor, zeros } from '@flex/tensor';
import { stack, unstacked } from './stacks.ts';

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
  /** That of one parameter, where they differ; `learningRateOf` asks. */
  readonly lrOf?: (name: string) => number;
  /** What the optimizer's own curvature gave for this update, where one was due. */
  readonly curvature?: Params;
}

/** The task's loss at an update's parameters, which an optimizer may differentiate once more. */
export interface Objective {
  /** B: tokens that the loss is a mean over, those of the whole effective batch. */
  readonly scoredTokens: number;
  /**
   * ĝ: the gradient of the loss with every label drawn from the model's own softmax, by parameter. The same
   * labels at each call.
   */
  sampledGradient(): Params;
  /** H·v of the loss, v and H·v by parameter. */
  hessianProduct(v: Params): Params;
}

/** Which random numbers an estimate draws: the same of the same seed and update, resumed or not. */
export interface Draw {
  readonly seed: number;
  /** Number of the update, from 1. */
  readonly step: number;
}

/** How an optimizer learns of curvature: the run has it estimated at updates 1, 1 + every, 1 + 2·every, … */
export interface Curvature {
  readonly every: number;
  /** New tensors for every parameter, under its name and of its shape, such as a Hessian's diagonal. */
  estimate(objective: Objective, params: Params, draw: Draw): Params;
}

/** Whether an update is one of those that curvature is estimated for. */
export const isDue = ({ every }: Curvature, step: number): boolean => (step - 1) % every === 0;

/** What is known of an update: the columns of its line in metrics.jsonl. */
export type Columns = Readonly<Record<string, unknown>>;

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
   * so that the new one may lie in its memory. Runs on the device, without reading back: what it tells of
   * the update, by the names of columns, are numbers f32 [] that the run reads with its own. A run ends where
   * a number of parameters, state or columns is not finite.
   */
  update(grads: Params, state: OptimizerState, params: Params, info: UpdateInfo): UpdatedParams;
  /** What `update` is to be told in `info.curvature`. */
  readonly curvature?: Curvature;
  /**
   * What is wrong after an update, in words that say what to change, from its columns and those of the
   * updates before it, the last one at the end. The run says each line once.
   */
  health?(update: Columns, before: readonly Columns[]): readonly string[];
}

export interface UpdatedParams {
  readonly params: Map<string, Tensor>;
  readonly state: OptimizerState;
  readonly diagnostics?: ReadonlyMap<string, Tensor>;
}

/** The learning rate of the parameter `name` in an update. */
export const learningRateOf = ({ lr, lrOf }: UpdateInfo, name: string): number => lrOf?.(name) ?? lr;

/**
 * The gradient of the parameter `name`, as an optimizer named `optimizer` needs it.
 * Throws ShapeError when there is none, or one of another shape or element type than the parameter.
 */
export function gradientOf(optimizer: string, grads: Params, name: string, param: Tensor): Tensor {
  const none = `there is no gradient for ${name}, ${show(param)}`;
  return fitting(optimizer, grads.get(name), param, { none, what: `the gradient of ${name}` });
}

/**
 * The estimate of the curvature in the parameter `name`, of an update that it is due for.
 * Throws ShapeError when there is none, or one of another shape.
 */
export function estimateOf(optimizer: string, info: UpdateInfo, name: string, param: Tensor): Tensor {
  const none = `update ${info.step} needs the estimate of the curvature in ${name}, info.curvature`;
  return fitting(optimizer, info.curvature?.get(name), param, { none, what: `the estimate of ${name}` });
}

/**
 * The state tensor `key` that belongs to a parameter.
 * Throws ShapeError when there is none, or one of another shape: the state is another run's.
 */
export function stateOf(optimizer: string, state: OptimizerState, key: string, param: Tensor): Tensor {
  const none = `its state has no ${key}; it is of other parameters`;
  return fitting(optimizer, state.get(key), param, { none, what: `its state ${key}` });
}

function fitting(
  optimizer: string,
  found: Tensor | undefined,
  param: Tensor,
  { none, what }: { readonly none: string; readonly what: string },
): Tensor {
  if (!found) throw new ShapeError(`${optimizer}: ${none}`);
  if (sameSpec(found, param)) return found;
  throw new ShapeError(`${optimizer}: ${what} must be ${show(param)}, got ${show(found)}`);
}

/** Zeros in the shape of every parameter, under `<kind>.<name>` for each kind of state. */
export function zeroState(params: Params, ...kinds: readonly string[]): OptimizerState {
  const zerosOf = (names: readonly string[]) => {
    const { backend, shape } = params.get(names[0])!;
    return kinds.map(() => zeros(backend, [names.length, size(shape)]));
  };
  return scope(() => namedState(kinds, unstacked(params, zerosOf)));
}

/** What is under each parameter's name for each kind, under `<kind>.<name>`. */
const namedState = (kinds: readonly string[], found: readonly Params[]): OptimizerState =>
  new Map(kinds.flatMap((kind, i) => [...found[i]].map(([name, t]) => [`${kind}.${name}`, t] as const)));

/** Tensors of an update that a rule makes new ones of. */
interface Moving {
  readonly param: Tensor;
  readonly grad: Tensor;
  /** Their learning rate. */
  readonly lr: number;
}

/** A parameter at its update, as a rule sees it. */
export interface ParameterUpdate extends Moving {
  readonly name: string;
}

/** Parameters of one size and one learning rate at their update, the rows of matrices f32 [names, n]. */
export interface StackUpdate extends Moving {
  readonly names: readonly string[];
}

interface UpdateTensors {
  readonly grads: Params;
  readonly state: OptimizerState;
  readonly params: Params;
}

/** Throws ShapeError for a gradient or state that a parameter lacks, or that does not fit it. */
function requireFitting(
  optimizer: string,
  kinds: readonly string[],
  { grads, state, params }: UpdateTensors,
): void {
  for (const [name, param] of params) {
    gradientOf(optimizer, grads, name, param);
    for (const kind of kinds) stateOf(optimizer, state, `${kind}.${name}`, param);
  }
}

/**
 * Moves each parameter by a rule of its own tensors: from it and its state, `<kind>.<name>` for each of the
 * kinds, the rule makes the new parameter and its new state, in this order; it gives up the old state. Throws
 * ShapeError, before the first rule, for a gradient or state that does not fit. Call it in a scope.
 */
export function updateEach(
  optimizer: string,
  kinds: readonly string[],
  inputs: UpdateTensors,
  info: UpdateInfo,
  rule: (one: ParameterUpdate, ...state: readonly Tensor[]) => readonly Tensor[],
): UpdatedParams {
  requireFitting(optimizer, kinds, inputs);
  const found = [new Map<string, Tensor>(), ...kinds.map(() => new Map<string, Tensor>())];
  for (const [name, param] of inputs.params) {
    const one = { name, param, grad: inputs.grads.get(name)!, lr: learningRateOf(info, name) };
    const made = rule(one, ...kinds.map((kind) => inputs.state.get(`${kind}.${name}`)!));
    for (const [i, t] of made.entries()) found[i].set(name, t);
  }
  const [params, ...states] = found;
  return { params, state: namedState(kinds, states) };
}

/**
 * As `updateEach`, by a rule that has no need of a parameter's shape, such as one number by number: those of
 * one size and one learning rate are moved together, by one call for the matrices of which they are the rows.
 */
export function updateStacks(
  optimizer: string,
  kinds: readonly string[],
  inputs: UpdateTensors,
  info: UpdateInfo,
  rule: (one: StackUpdate, ...state: readonly Tensor[]) => readonly Tensor[],
): UpdatedParams {
  requireFitting(optimizer, kinds, inputs);
  const rateOf = (name: string) => learningRateOf(info, name);
  const move = (names: readonly string[]) => {
    const [param, grad] = [inputs.params, inputs.grads].map((tensors) => stack(tensors, names));
    const state = kinds.map((kind) => {
      const keys = names.map((name) => `${kind}.${name}`);
      const matrix = stack(inputs.state, keys);
      // Of the old state's memory the matrix alone is left, so that the rule can give it up.
      for (const key of keys) inputs.state.get(key)!.dispose();
      return matrix;
    });
    return rule({ names, param, grad, lr: rateOf(names[0]) }, ...state);
  };
  const [params, ...states] = unstacked(inputs.params, move, rateOf);
  return { params, state: namedState(kinds, states) };
}
