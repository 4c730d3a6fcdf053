import {
  add,
  type Backend,
  exp,
  mul,
  type Shape,
  size,
  square,
  sum,
  type Tensor,
  tanh,
  tensor,
} from '@flex/tensor';

// For this package's own tests.

/** A tensor of numbers of both signs; another for another phase. */
export const waves = (backend: Backend, shape: Shape, phase = 0): Tensor =>
  tensor(
    backend,
    Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(1.7 * i + phase)),
    shape,
  );

export const numbers = async (t: Tensor): Promise<number[]> => [...(await t.data())];

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
};

/** A number with nothing linear about it: Σ (tanh(x·y) + x)²·eʸ. */
export const bumpy = (x: Tensor, y: Tensor): Tensor => sum(mul(square(add(tanh(mul(x, y)), x)), exp(y)));
