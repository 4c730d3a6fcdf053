import { grad, hvp } from '@flex/autograd';
import { isDue, mapStacks, type Objective, type Params } from '@flex/optim';
import { type AdapterWeights, flattenWeights, unflattenWeights } from '@flex/peft';
import { add, categorical, scope, type Tensor } from '@flex/tensor';
import { scoredTokensOf, taskTerms, type UpdateInputs, type UpdateSetup } from './update.ts';

// The second word of a random key says what is drawn, so that no two streams of a run meet.
const labelStream = 0x1abe1;

/**
 * What the optimizer's own curvature gives for an update, by parameter; undefined where none is due. A pure
 * function of its inputs, as the update is.
 */
export function estimateCurvature(setup: UpdateSetup, inputs: UpdateInputs): Params | undefined {
  const { curvature } = setup.optimizer;
  const { step } = inputs;
  if (!curvature || !isDue(curvature, step)) return undefined;
  const draw = { seed: setup.seed, step };
  return scope(() => curvature.estimate(objectiveOf(setup, inputs), flattenWeights(inputs), draw));
}

/**
 * The task's loss of an update, without regularizers, as its optimizer may ask of it: of the same batches,
 * with the same dropout masks, so that it is the curvature of the function whose gradient the update takes.
 */
export function objectiveOf(setup: UpdateSetup, inputs: UpdateInputs): Objective {
  const { params, whole, batches } = inputs;
  const at: AdapterWeights = { params, whole };
  const drawLabels = (logits: Tensor, pass: number, firstRow: number) =>
    categorical(logits, { key: [setup.seed, labelStream], counter: [pass, 0], firstRow });
  const total = (parts: readonly AdapterWeights[]) =>
    parts.map(flattenWeights).reduce((sum, part) => mapStacks([sum, part], ([x, y]) => add(x, y)));
  return {
    scoredTokens: scoredTokensOf(batches),
    sampledGradient: () =>
      scope(() => total(taskTerms(setup, inputs, drawLabels).map((term) => grad(term, at)))),
    hessianProduct: (v) =>
      scope(() => total(taskTerms(setup, inputs).map((term) => hvp(term, at, unflattenWeights(v))))),
  };
}
