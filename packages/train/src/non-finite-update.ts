import { globalNorm, type Params } from '@flex/optim';
import { type AdapterWeights, flattenWeights, lowRankOf, peftName } from '@flex/peft';
import { countNonFinite, eachTensor, keep, OutOfMemoryError, scope, type Tensor } from '@flex/tensor';
import { estimateCurvature } from './curvature.ts';
import { modelNames, type Named, wordsOf } from './non-finite-words.ts';
import { readNumber } from './read-number.ts';
import {
  clip,
  moved,
  pullOf,
  taskGradient,
  type UpdateInputs,
  type UpdateResult,
  type UpdateSetup,
  wholeGradient,
} from './update.ts';

/** Numbers of an update that are finite where it went well. */
export interface UpdateNumbers {
  readonly loss: number;
  readonly gradNorm: number;
  readonly updateRatio: number;
  /** Whether all but the ratio are finite: what is told, the curvature's estimate, parameters and state. */
  readonly isWell: boolean;
}

/**
 * What to throw of an update that made numbers that are not finite, or null: in words the term that is not
 * (the loss, a regularizer, the curvature, the optimizer), the parameter by PEFT's name, and the op that made
 * the first such number. The update is computed once more, op by op, from its inputs, but for the optimizer's
 * state, which it has given up.
 */
export async function nonFiniteUpdate(
  setup: UpdateSetup,
  inputs: UpdateInputs,
  made: UpdateResult,
  { loss, gradNorm, updateRatio, isWell }: UpdateNumbers,
): Promise<Error | null> {
  // The ratio alone is no number where all weights were 0, and infinite where f32 holds no sum of their
  // squares.
  if (isWell && !Number.isNaN(updateRatio)) return null;
  if (isWell && (await readNumber(() => globalNorm(flattenWeights(inputs)))) === 0) return null;
  const told = `loss ${loss}, gradient norm ${gradNorm}`;
  try {
    const words = (await ofTerms(setup, inputs)) ?? (await ofOptimizer(setup, inputs, made));
    return new Error(`update ${inputs.step}: ${words ?? `${told}; computed once more all was finite`}`);
  } catch (cause) {
    if (!(cause instanceof OutOfMemoryError)) throw cause;
    return new Error(`update ${inputs.step}: ${told}; there is no memory to look for its cause`, { cause });
  }
}

/** Which term of the gradient is not finite. */
async function ofTerms(setup: UpdateSetup, inputs: UpdateInputs): Promise<string | null> {
  const { backend } = setup.model;
  const before = namesBefore(setup, inputs);
  const lowRank = lowRankOf(inputs.params);
  const task = await wordsOf(backend, before, () => {
    const { value, grads } = taskGradient(setup, inputs);
    return new Map([["the task's loss", value], ...byPeftName("the gradient of the task's loss in", grads)]);
  });
  if (task) return task;
  for (const one of setup.regularizers) {
    const found = await wordsOf(backend, before, () => {
      const { value, grads = new Map() } = pullOf(one, lowRank, inputs.step);
      return new Map([
        [`the penalty of ${one.title}`, value],
        ...byPeftName(`the gradient of ${one.title} in`, grads),
      ]);
    });
    if (found) return found;
  }
  const { curvature } = inputs;
  if (!curvature) return null;
  return wordsOf(backend, before, () =>
    byPeftName('the estimate of the curvature in', estimateCurvature(setup, inputs)!),
  );
}

/** What is wrong where every term is finite: their sum, its norm, the optimizer's step or its state. */
async function ofOptimizer(
  setup: UpdateSetup,
  inputs: UpdateInputs,
  made: UpdateResult,
): Promise<string | null> {
  const { optimizer, model } = setup;
  const whole = keep(scope(() => wholeGradient(setup, inputs)));
  const { clipped, norm } = keep(clip(setup, whole.grads));
  try {
    if (!Number.isFinite(await norm.item())) return await ofNorm(setup, whole);
    const before = new Map([...namesBefore(setup, inputs), ...byPeftName('the gradient in', clipped)]);
    const step = await wordsOf(model.backend, before, () => {
      const state = optimizer.init(flattenWeights(inputs));
      const after = moved(setup, { ...inputs, state }, clipped, whole.pulls);
      return new Map([
        ...byPeftName("after the optimizer's step", after.params),
        ...[...after.state].map(([key, t]) => [`the optimizer's state ${inStatePeftName(key)}`, t] as const),
        ...[...(after.diagnostics ?? [])].map(([key, t]) => [`the optimizer's ${key}`, t] as const),
      ]);
    });
    if (step) return step;
    const key = await firstWrong(made.state);
    if (key === null) return null;
    return (
      `the optimizer's state ${inStatePeftName(key)} is not finite, and computed once more without what it was ` +
      'before it is: the checkpoint that the run went on from, or the device, left it so'
    );
  } finally {
    eachTensor([whole, clipped, norm], (t) => t.dispose());
  }
}

/** Of a gradient whose numbers are finite and whose norm is not: its largest number, and whose that is. */
async function ofNorm(
  { regularizers }: UpdateSetup,
  { grads, taskGrads, pulls }: ReturnType<typeof wholeGradient>,
): Promise<string> {
  let largest = { size: 0, name: '', i: 0 };
  for (const [name, g] of grads) {
    const sizes = Array.from(await g.data(), Math.abs);
    const i = sizes.reduce((most, size, j) => (size > sizes[most] ? j : most), 0);
    if (sizes[i] > largest.size) largest = { size: sizes[i], name, i };
  }
  const { size, name, i } = largest;
  const numberOf = async (lambda: number, of?: Params) =>
    lambda * Math.abs((await of?.get(name)?.data())?.[i] ?? 0);
  let [most, term] = [await numberOf(1, taskGrads), "the task's loss"];
  for (const [k, { enters, lambda, grads: own }] of pulls.entries()) {
    const part = enters === 'loss' ? await numberOf(lambda, own) : 0;
    if (part > most) [most, term] = [part, regularizers[k].title];
  }
  const where = `${size.toPrecision(2)} in ${peftName(name)}, most of it of ${term}`;
  return `the gradient's norm is infinite, as f32 holds no sum of its squares; its largest number is ${where}`;
}

/** The first of the tensors that has a number that is not finite. */
async function firstWrong(tensors: ReadonlyMap<string, Tensor>): Promise<string | null> {
  for (const [name, t] of tensors) {
    const counts = scope(() => countNonFinite(t));
    const found = (await counts.data()).some((count) => count > 0);
    counts.dispose();
    if (found) return name;
  }
  return null;
}

/** Weights of the model, parameters and the curvature's estimates, by what words call them. */
function namesBefore({ model }: UpdateSetup, inputs: UpdateInputs): Named {
  return new Map([
    ...modelNames(model),
    ...parameterNames(inputs),
    ...byPeftName('the estimate of the curvature in', inputs.curvature ?? new Map()),
  ]);
}

/** Parameters by what words call them. */
export const parameterNames = (weights: AdapterWeights): Named => byPeftName('', flattenWeights(weights));

const byPeftName = (words: string, tensors: Params): Named =>
  new Map([...tensors].map(([name, t]) => [`${words} ${peftName(name)}`.trim(), t]));

/** `m of …lora_A.weight` of the state's `m.….a`. */
function inStatePeftName(key: string): string {
  const dot = key.indexOf('.');
  return `${key.slice(0, dot)} of ${peftName(key.slice(dot + 1))}`;
}
