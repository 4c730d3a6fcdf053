import { add, mul, type Spec, size, sum, type Tensor } from '@flex/tensor';
import { type AnyOp, applyAll, type Op, outputsOf } from '@flex/tensor/kernel';
import {
  arbitraryRandom,
  arbitrarySamples,
  type DrawnInput,
  type DrawnSample,
  describeCall,
  describeEachBackend,
  deviceBackends,
  drawUniform,
  referenceBackend,
  specsOf,
  toleranceOf,
  upload,
} from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { pullback } from '../pullback.ts';
import { innerProduct } from '../tree.ts';
import { grad } from '../value-and-grad.ts';
import { expectDerivatives, expectSameGradients, gradientsAt, type NumberOf } from './derivatives.ts';

/** Draws of the inputs of all samples. */
const numRuns = 6;
/** A gradient adds up products, each as exact as the op. */
const gradientTolerance = (op: AnyOp) => 4 * toleranceOf(op);

/**
 * Registers the tests of an op's gradient at its samples. On the f64 reference the derivative along a random
 * direction that vjp gives is that of differences, and so is that of the gradient itself; on every other
 * backend the gradient is the reference's. An op without a gradient must say so by name. Call it in a Vitest
 * file.
 */
export function checkGradient<A extends object>(definition: Op<A>): void {
  const op: AnyOp = definition;
  if (!op.samples.some((sample) => specsOf(op, sample).some((spec) => spec.dtype === 'f32'))) return;
  const everyDraw = (f: (sample: DrawnSample, random: () => number) => Promise<void>) =>
    fc.assert(
      fc.asyncProperty(arbitrarySamples(op, 'apart'), arbitraryRandom, async (samples, random) => {
        // All at once, so that a device is waited for once.
        await Promise.all(
          samples.filter((sample) => hasRealOutput(op, sample)).map((sample) => f(sample, random)),
        );
      }),
      { numRuns },
    );

  describe(`gradient of ${op.name}`, () => {
    if (op.vjp === null) {
      test('is refused by name', () => everyDraw((sample) => expectRefusal(op, sample)));
      return;
    }
    test('is that of differences', () =>
      everyDraw(async (sample, random) => {
        const inputs = [...sample.inputs, ...weightsOf(op, sample, random)];
        const what = describeCall(op, sample.inputs, sample.attrs);
        await expectDerivatives(
          weighted(op, sample),
          inputs,
          random,
          what,
          await frozenOf(op, sample, inputs),
        );
      }));
    test('has itself the gradient of differences', () =>
      everyDraw(async (sample, random) => {
        const inputs = [...sample.inputs, ...weightsOf(op, sample, random)];
        const what = `the gradient of ${describeCall(op, sample.inputs, sample.attrs)}`;
        const frozen = await frozenOf(op, sample, inputs);
        await expectDerivatives(gradientSum(op, sample, random), inputs, random, what, frozen);
      }));
    describeEachBackend((backend) => {
      test('is that of the f64 reference', () =>
        everyDraw((sample, random) => {
          const inputs = [...sample.inputs, ...weightsOf(op, sample, random)];
          const what = describeCall(op, sample.inputs, sample.attrs);
          return expectSameGradients(backend(), weighted(op, sample), inputs, gradientTolerance(op), what);
        }));
    }, deviceBackends);
  });
}

/** False where a sample's output is whole numbers (`cast` can give them), which have no gradient. */
function hasRealOutput(op: AnyOp, { inputs, attrs }: DrawnSample): boolean {
  return ['f32', 'f16'].includes(outputsOf(op, inputs, attrs)[0].dtype) || op.vjp === null;
}

/** Random numbers of the outputs' shapes, by which a test sums them up to one number. */
function weightsOf(op: AnyOp, { inputs, attrs }: DrawnSample, random: () => number): DrawnInput[] {
  return outputsOf(op, inputs, attrs).map(({ shape }) => drawUniform(shape, random));
}

/** Inputs for which the op gives no gradient, such as tables and masks. */
async function frozenOf(op: AnyOp, sample: DrawnSample, inputs: readonly DrawnInput[]): Promise<Set<number>> {
  const grads = await gradientsAt(await referenceBackend.open(), weighted(op, sample), inputs);
  return new Set(grads.flatMap((g, i) => (g ? [] : [i])));
}

/** Σₖ ⟨wₖ, op(inputs)ₖ⟩, where xs are the inputs and then the w, one for each output. */
function weighted(op: AnyOp, { inputs, attrs }: DrawnSample): NumberOf {
  return (xs) =>
    applyAll(op, xs.slice(0, inputs.length), attrs)
      .map((y, k) => sum(mul(xs[inputs.length + k], y)))
      .reduce((total, product) => add(total, product));
}

/** Σᵢ ⟨cᵢ, gᵢ⟩ with random c, where gᵢ is the gradient of `weighted` in input i. */
function gradientSum(op: AnyOp, sample: DrawnSample, random: () => number): NumberOf {
  const isReal = ({ dtype }: Spec) => dtype === 'f32';
  const coefficients = sample.inputs.filter(isReal).map(({ shape }) => drawUniform(shape, random));
  return (xs) => {
    const reals = xs.slice(0, sample.inputs.length).filter(isReal);
    const grads = grad((at) => weighted(op, sample)(xs.map((x) => at[reals.indexOf(x)] ?? x)), reals);
    return innerProduct(
      grads,
      coefficients.map((c) => upload(reals[0].backend, c)),
    );
  };
}

async function expectRefusal(op: AnyOp, { inputs, attrs }: DrawnSample): Promise<void> {
  const backend = await referenceBackend.open();
  const attempt = (xs: readonly Tensor[]) => {
    const [output] = outputsOf(op, xs, attrs);
    const seed = upload(backend, { ...output, data: new Float64Array(size(output.shape)) });
    return pullback(() => applyAll(op, xs, attrs)[0], xs, seed);
  };
  let message = '';
  try {
    attempt(inputs.map((input) => upload(backend, input)));
  } catch (error) {
    message = String(error);
  }
  if (!message.includes(`${op.name} has no gradient`)) {
    throw new Error(`${op.name}: asking for its gradient must throw by name, got ${message || 'no error'}`);
  }
}
