import { type Backend, type HostArray, scope, show, type Tensor } from '@flex/tensor';
import {
  type DrawnInput,
  drawUniform,
  expectClose,
  isClose,
  referenceBackend,
  upload,
} from '@flex/tensor/testing';
import { pullback } from '../pullback.ts';

/** A number computed from tensors: f32 []. */
export type NumberOf = (xs: readonly Tensor[]) => Tensor;

/** How far a derivative may be from its difference quotient, in f64. */
const quotientTolerance = 1e-6;
/**
 * Widths of difference quotients; with five points the error is of order step⁴. `apart` inputs keep the first
 * from every kink of an input itself, but a kink where inputs meet in a formula may lie within it: there a
 * narrower one decides, in which f64 still leaves eight digits.
 */
const steps = [5e-5, 1e-6, 2e-8];

/**
 * Throws unless the gradient in every f32 input is, in a random direction, what differences on the reference
 * say; where there is none f must not change. `frozen` are inputs that are not looked at.
 */
export async function expectDerivatives(
  f: NumberOf,
  inputs: readonly DrawnInput[],
  random: () => number,
  what: string,
  frozen: ReadonlySet<number> = new Set(),
): Promise<void> {
  const backend = await referenceBackend.open();
  const grads = await gradientsAt(backend, f, inputs);
  for (const [i, { shape, dtype, data }] of inputs.entries()) {
    if (dtype !== 'f32' || frozen.has(i)) continue;
    const gradient = grads[i] ?? new Float64Array(data.length);
    const direction = drawUniform(shape, random).data;
    const at = async (distance: number): Promise<number> => {
      const moved = Float64Array.from(data, (x, k) => x + distance * direction[k]);
      return valueAt(backend, f, inputs.with(i, { ...inputs[i], data: moved }));
    };
    const quotient = async (step: number): Promise<number> => {
      const [right, left] = [await at(step), await at(-step)];
      const [right2, left2] = [await at(2 * step), await at(-2 * step)];
      return (8 * (right - left) - (right2 - left2)) / (12 * step);
    };
    let got = 0;
    for (let k = 0; k < direction.length; k++) got += gradient[k] * direction[k];
    let want = await quotient(steps[0]);
    for (const step of steps.slice(1)) {
      if (isClose(got, want, quotientTolerance)) break;
      want = await quotient(step);
    }
    expectClose([got], [want], quotientTolerance, `derivative of ${what} along input ${i}`, []);
  }
}

/** Throws unless a backend's gradients are the f64 reference's, up to tolerance·(1 + |gradient|). */
export async function expectSameGradients(
  backend: Backend,
  f: NumberOf,
  inputs: readonly DrawnInput[],
  tolerance: number,
  what: string,
): Promise<void> {
  const [want, got] = await Promise.all([
    gradientsAt(await referenceBackend.open(), f, inputs),
    gradientsAt(backend, f, inputs),
  ]);
  want.forEach((gradient, i) => {
    const other = got[i];
    if (!gradient !== !other)
      throw new Error(`${what}: only one of two backends has a gradient in input ${i}`);
    if (gradient && other)
      expectClose(other, gradient, tolerance, `gradient of ${what} in input ${i}`, inputs[i].shape);
  });
}

/**
 * The gradient of f in each input of f32, or null where it has none. Throws when one has not its input's
 * shape.
 */
export async function gradientsAt(
  backend: Backend,
  f: NumberOf,
  inputs: readonly DrawnInput[],
): Promise<(HostArray | null)[]> {
  const grads = scope(() => {
    const xs = inputs.map((input) => upload(backend, input));
    const reals = xs.filter((x) => x.dtype === 'f32');
    const found = pullback(() => f(xs), reals).grads;
    return xs.map((x) => found[reals.indexOf(x)] ?? null);
  });
  const data = await Promise.all(grads.map(async (g) => (g ? g.data() : null)));
  grads.forEach((g, i) => {
    if (g && show(g) !== show(inputs[i]))
      throw new Error(`gradient ${i} is ${show(g)} for ${show(inputs[i])}`);
    g?.dispose();
  });
  return data;
}

async function valueAt(backend: Backend, f: NumberOf, inputs: readonly DrawnInput[]): Promise<number> {
  const value = scope(() => f(inputs.map((input) => upload(backend, input))));
  const number = await value.item();
  value.dispose();
  return number;
}
