import { type AnyOp, add, apply, mul, type Op, sum, type Tensor } from '@flex/tensor';
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
import { vjp } from '../vjp.ts';
import { expectDerivatives, expectSameGradients, gradientsAt, type NumberOf } from './derivatives.ts';

export interface GradientOptions {
  /** Draws of the inputs of all samples; left out: 6. */
  readonly runs?: number;
}

/** A gradient adds up products, each as exact as the op. */
const gradientTolerance = (op: AnyOp) => 4 * toleranceOf(op);

/**
 * Registers the tests of an op's gradient at its samples. On the f64 reference the derivative along a random
 * direction that vjp gives is that of differences, and so is that of the gradient itself; on every other
 * backend the gradient is the reference's. An op without a gradient must say so by name. Call it in a Vitest
 * file.
 */
export function checkGradient<A extends object>(definition: Op<A>, { runs = 6 }: GradientOptions = {}): void {
  const op: AnyOp = definition;
  if (!op.samples.some((sample) => specsOf(op, sample).some((spec) => spec.dtype === 'f32'))) return;
  const everyDraw = (f: (sample: DrawnSample, random: () => number) => Promise<void>) =>
    fc.assert(
      fc.asyncProperty(arbitrarySamples(op, 'apart'), arbitraryRandom, async (samples, random) => {
        // All at once, so that a device is waited for once.
        await Promise.all(samples.filter((sample) => isReal(op, sample)).map((sample) => f(sample, random)));
      }),
      { numRuns: runs },
    );

  describe(`gradient of ${op.name}`, () => {
    if (op.vjp === null) {
      test('is refused by name', () => everyDraw((sample) => expectRefusal(op, sample)));
      return;
    }
    test('is that of differences', () =>
      everyDraw(async (sample, random) => {
        const inputs = [...sample.inputs, weightsOf(op, sample, random)];
        const what = describeCall(op, sample.inputs, sample.attrs);
        await expectDerivatives(
          weighted(op, sample.attrs),
          inputs,
          random,
          what,
          await frozenOf(op, sample.attrs, inputs),
        );
      }));
    test('has itself the gradient of differences', () =>
      everyDraw(async (sample, random) => {
        const inputs = [...sample.inputs, weightsOf(op, sample, random)];
        const what = `the gradient of ${describeCall(op, sample.inputs, sample.attrs)}`;
        const frozen = await frozenOf(op, sample.attrs, inputs);
        await expectDerivatives(gradientSum(op, sample, random), inputs, random, what, frozen);
      }));
    describeEachBackend((backend) => {
      test('is that of the f64 reference', () =>
        everyDraw((sample, random) => {
          const inputs = [...sample.inputs, weightsOf(op, sample, random)];
          const what = describeCall(op, sample.inputs, sample.attrs);
          return expectSameGradients(
            backend(),
            weighted(op, sample.attrs),
            inputs,
            gradientTolerance(op),
            what,
          );
        }));
    }, deviceBackends);
  });
}

/** False where a sample's output is whole numbers (`cast` can give them), which have no gradient. */
function isReal(op: AnyOp, { inputs, attrs }: DrawnSample): boolean {
  return ['f32', 'f16'].includes(op.infer(inputs, attrs).dtype) || op.vjp === null;
}

/** Random numbers of the output's shape, by which a test sums the output up to one number. */
function weightsOf(op: AnyOp, { inputs, attrs }: DrawnSample, random: () => number): DrawnInput {
  return drawUniform(op.infer(inputs, attrs).shape, random);
}

/** Inputs for which the op gives no gradient, such as tables and masks. */
async function frozenOf(op: AnyOp, attrs: object, inputs: readonly DrawnInput[]): Promise<Set<number>> {
  const grads = await gradientsAt(await referenceBackend.open(), weighted(op, attrs), inputs);
  return new Set(grads.flatMap((g, i) => (g ? [] : [i])));
}

/** ⟨w, op(inputs)⟩, where w is the last of xs. */
function weighted(op: AnyOp, attrs: object): NumberOf {
  return (xs) => sum(mul(xs.at(-1)!, apply(op, xs.slice(0, -1), attrs)));
}

/**
 * Σᵢ ⟨cᵢ, gᵢ⟩ with random c, where gᵢ is the gradient of ⟨w, op(inputs)⟩ in input i and w is the last of xs.
 */
function gradientSum(op: AnyOp, { inputs, attrs }: DrawnSample, random: () => number): NumberOf {
  const coefficients = inputs.map(({ shape }) => drawUniform(shape, random));
  return (xs) => {
    const own = xs.slice(0, -1);
    const reals = own.filter((x) => x.dtype === 'f32');
    const { grads } = vjp(() => apply(op, own, attrs), reals, xs.at(-1));
    const products = grads.flatMap((g, k) => {
      const coefficient = coefficients[own.indexOf(reals[k])];
      return g ? [sum(mul(g, upload(g.backend, coefficient)))] : [];
    });
    if (products.length === 0)
      throw new Error(`${op.name}: none of its inputs has a gradient; its vjp should be null`);
    return products.reduce((total, product) => add(total, product));
  };
}

async function expectRefusal(op: AnyOp, { inputs, attrs }: DrawnSample): Promise<void> {
  const backend = await referenceBackend.open();
  const attempt = (xs: readonly Tensor[]) => {
    const output = op.infer(xs, attrs);
    const seed = upload(backend, {
      ...output,
      data: new Float64Array(output.shape.reduce((n, axis) => n * axis, 1)),
    });
    return vjp(() => apply(op, xs, attrs), xs, seed);
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
