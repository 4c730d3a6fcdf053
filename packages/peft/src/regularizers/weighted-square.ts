import { elementwise, mul, mulScalar, square, type Tensor } from '@flex/tensor';

const weightedSquareOp = elementwise('weightedSquare', 2, {
  wgsl: 'x * y * y',
  js: 'x * y * y',
  vjp: (g, [weights, x]) => [() => mul(g, square(x)), () => mulScalar(mul(g, mul(weights, x)), 2)],
  known: [
    {
      inputs: [
        { shape: [2], data: [0.5, 2] },
        { shape: [2], data: [-4, 3] },
      ],
      attrs: { scalars: [] },
      output: [8, 18],
    },
  ],
});

/** w·x². weights f32 [..], x f32 [..] → f32 [broadcast]. */
export const weightedSquare = (weights: Tensor, x: Tensor): Tensor => weightedSquareOp([weights, x]);
