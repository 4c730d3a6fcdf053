import { ConfigError } from '@flex/base';
import { elementwise, scope, size, type Tensor, tensor } from '@flex/tensor';
import { gradientOf, type Optimizer, stateOf } from './optimizer.ts';

export interface AdamWOptions {
  /** Learning rate that the schedule scales. */
  readonly lr: number;
  /** Decay of the means of gradients and of squared gradients, each in [0, 1). */
  readonly betas: readonly [number, number];
  /** Added to √v̂. */
  readonly eps: number;
  /** Decoupled: the parameter shrinks by lr·weight_decay, whatever its gradient. */
  readonly weight_decay: number;
}

const noGradient = { vjp: null } as const;
const positive = { kind: 'real', min: 0.25, max: 4 } as const;

const firstMoment = elementwise('adamwFirstMoment', 2, {
  ...noGradient,
  wgsl: 'decay * x + fresh * y',
  js: 'decay * x + fresh * y',
  scalars: ['decay', 'fresh'],
  testScalars: [0.9, 0.1],
  known: [
    {
      inputs: [
        { shape: [2], data: [4, -2] },
        { shape: [2], data: [8, 2] },
      ],
      attrs: { scalars: [0.75, 0.25] },
      output: [5, -1],
    },
  ],
});

const secondMoment = elementwise('adamwSecondMoment', 2, {
  ...noGradient,
  wgsl: 'decay * x + fresh * y * y',
  js: 'decay * x + fresh * y * y',
  scalars: ['decay', 'fresh'],
  testScalars: [0.99, 0.01],
  known: [
    {
      inputs: [
        { shape: [2], data: [4, 0] },
        { shape: [2], data: [8, -2] },
      ],
      attrs: { scalars: [0.75, 0.25] },
      output: [19, 1],
    },
  ],
});

/** keep·p − rate·m / (√v·correction + eps). */
const move = elementwise('adamwMove', 3, {
  ...noGradient,
  wgsl: 'shrink * x - rate * y / (sqrt(z) * correction + eps)',
  js: 'shrink * x - rate * y / (Math.sqrt(z) * correction + eps)',
  scalars: ['shrink', 'rate', 'correction', 'eps'],
  testScalars: [0.75, 0.5, 2, 0.25],
  domains: [undefined, undefined, positive],
  known: [
    {
      inputs: [
        { shape: [2], data: [4, 0] },
        { shape: [2], data: [6, -3] },
        { shape: [2], data: [4, 0] },
      ],
      attrs: { scalars: [0.5, 1, 1, 1] },
      output: [0, 3],
    },
  ],
});

/**
 * p ← p·(1 − lr·weight_decay) − lr·m̂ / (√v̂ + eps), as torch.optim.AdamW has it: m̂ = m/(1 − β1ᵗ) with
 * m ← β1·m + (1 − β1)·g, and v̂ = v/(1 − β2ᵗ) with v ← β2·v + (1 − β2)·g². Three dispatches a parameter.
 *
 * Throws ConfigError for options out of range.
 * Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2.
 */
export function adamw(given: Partial<AdamWOptions> = {}): Optimizer {
  const options: AdamWOptions = { lr: 2e-4, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01, ...given };
  check(options);
  const { betas, eps, weight_decay } = options;
  const [beta1, beta2] = betas;
  return {
    name: 'adamw',
    options,
    init(params) {
      const zeros = (p: Tensor) => tensor(p.backend, new Float32Array(size(p.shape)), p.shape);
      const moments = ['m', 'v'].flatMap((kind) =>
        [...params].map(([name, p]) => [`${kind}.${name}`, zeros(p)] as const),
      );
      return new Map(moments);
    },
    update(grads, state, params, { step, lr }) {
      // NUMERICS: the corrections are taken in f64 on the host; in f32 1 − β2 would lose three digits.
      const rate = lr / (1 - beta1 ** step);
      const correction = 1 / Math.sqrt(1 - beta2 ** step);
      return scope(() => {
        const moved = new Map<string, Tensor>();
        const m = new Map<string, Tensor>();
        const v = new Map<string, Tensor>();
        for (const [name, p] of params) {
          const g = gradientOf('adamw', grads, name, p);
          const mean = firstMoment([stateOf('adamw', state, `m.${name}`, p), g], [beta1, 1 - beta1]);
          const meanSquare = secondMoment([stateOf('adamw', state, `v.${name}`, p), g], [beta2, 1 - beta2]);
          moved.set(name, move([p, mean, meanSquare], [1 - lr * weight_decay, rate, correction, eps]));
          m.set(`m.${name}`, mean);
          v.set(`v.${name}`, meanSquare);
        }
        return { params: moved, state: new Map([...m, ...v]) };
      });
    },
  };
}

function check({ lr, betas, eps, weight_decay }: AdamWOptions): void {
  const fail = (key: string, needs: string, came: unknown): never => {
    throw new ConfigError(`adamw: ${key} must be ${needs}, got ${came}`);
  };
  if (!(lr >= 0 && lr < Infinity)) fail('lr', 'a number ≥ 0', lr);
  betas.forEach((beta, i) => {
    if (!(beta >= 0 && beta < 1)) fail(`betas[${i}]`, 'in [0, 1)', beta);
  });
  if (!(eps >= 0 && eps < Infinity)) fail('eps', 'a number ≥ 0', eps);
  if (!(weight_decay >= 0 && weight_decay < Infinity)) fail('weight_decay', 'a number ≥ 0', weight_decay);
}
