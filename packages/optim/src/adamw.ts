import { definePart, readOptions } from '@flex/base';
import { add, div, donate, mul, scope, sqrt, sub } from '@flex/tensor';
import { elementwiseAll } from '@flex/tensor/kernel';
import { z } from 'zod';
import { type Optimizer, updateStacks, zeroState } from './optimizer.ts';

const schema = z.strictObject({
  /** Learning rate that the schedule scales. */
  lr: z.number().positive().default(2e-4),
  /** Decay of the means of gradients and of squared gradients. */
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .readonly()
    .describe('a list of two numbers such as [0.9, 0.999]')
    .default([0.9, 0.999]),
  /** Added to √v̂. */
  eps: z.number().positive().default(1e-8),
  /** Decoupled: the parameter shrinks by lr·weightDecay, whatever its gradient. */
  weightDecay: z.number().min(0).default(0.01),
});

export type AdamWOptions = z.output<typeof schema>;

/** Of p, g, m and v: the new p, m and v, in one kernel. */
const adamwUpdate = elementwiseAll(
  'adamwUpdate',
  12,
  (p, g, m, v, beta1, fresh1, beta2, fresh2, keep, rate, correction, eps) => {
    const mean = add(mul(beta1, m), mul(fresh1, g));
    const meanSquare = add(mul(beta2, v), mul(mul(fresh2, g), g));
    const step = div(mul(rate, mean), add(mul(sqrt(meanSquare), correction), eps));
    return [sub(mul(keep, p), step), mean, meanSquare];
  },
  {
    numbers: [0.75, 0.25, 0.75, 0.25, 0.5, 0.5, 2, 0.25],
    domains: [undefined, undefined, undefined, { kind: 'real', min: 0.25, max: 4 }],
    known: [['[4, 0] [8, 2] [4, -2] [0, 4] 0.75 0.25 0.75 0.25 0.5 1 1 1', [1, 1 / 3, 5, -1, 16, 4]]],
  },
);

/**
 * p ← p·(1 − lr·weightDecay) − lr·m̂ / (√v̂ + eps), as torch.optim.AdamW has it: m̂ = m/(1 − β1ᵗ) with
 * m ← β1·m + (1 − β1)·g, and v̂ = v/(1 − β2ᵗ) with v ← β2·v + (1 − β2)·g². One dispatch a
 * stack of parameters, in the memory of the state that it is given.
 *
 * Throws ConfigError for options out of range.
 * Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2.
 */
export function adamw(given: Partial<AdamWOptions> = {}): Optimizer {
  const { lr, betas, eps, weightDecay } = readOptions(schema, given, 'adamw');
  const [beta1, beta2] = betas;
  return {
    lr,
    init: (params) => zeroState(params, 'm', 'v'),
    update(grads, state, params, info) {
      // NUMERICS: the corrections are taken in f64 on the host; in f32 1 − β2 would lose three digits.
      const [meanShare, meanSquareShare] = [1 - beta1 ** info.step, 1 - beta2 ** info.step];
      const decay = [beta1, 1 - beta1, beta2, 1 - beta2] as const;
      const inputs = { grads, state, params };
      return scope(() =>
        updateStacks('adamw', ['m', 'v'], inputs, info, ({ param, grad, lr }, m, v) => {
          const step = [1 - lr * weightDecay, lr / meanShare, 1 / Math.sqrt(meanSquareShare), eps] as const;
          return adamwUpdate(param, grad, donate(m), donate(v), ...decay, ...step);
        }),
      );
    },
  };
}

/** The optimizer `adamw` of a run. */
export const adamwPart = definePart({ name: 'adamw', schema, make: adamw });
