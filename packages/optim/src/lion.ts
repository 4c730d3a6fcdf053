import { definePart, readOptions } from '@flex/base';
import { add, donate, mul, scope, sign, sub } from '@flex/tensor';
import { elementwiseAll } from '@flex/tensor/kernel';
import { z } from 'zod';
import { type Optimizer, updateStacks, zeroState } from './optimizer.ts';

const schema = z.strictObject({
  /** Learning rate that the schedule scales: the step of every coordinate, so a fraction of AdamW's. */
  lr: z.number().positive().default(5e-5),
  /** Shares of m in the direction of the step, and in the new m. */
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .readonly()
    .describe('a list of two numbers such as [0.9, 0.99]')
    .default([0.9, 0.99]),
  /** Decoupled: the parameter shrinks by lr·weightDecay, whatever its gradient. */
  weightDecay: z.number().min(0).default(0.04),
});

export type LionOptions = z.output<typeof schema>;

/** Of p, g and m: the new p and m, in one kernel. */
const lionUpdate = elementwiseAll(
  'lionUpdate',
  9,
  (p, g, m, beta1, fresh1, beta2, fresh2, keep, lr) => {
    const direction = sign(add(mul(beta1, m), mul(fresh1, g)));
    return [sub(mul(keep, p), mul(lr, direction)), add(mul(beta2, m), mul(fresh2, g))];
  },
  {
    numbers: [0.75, 0.25, 0.5, 0.5, 0.5, 0.125],
    known: [['[4, 2, 0] [8, -4, 0] [4, 1, 0] 0.75 0.25 0.5 0.5 0.5 1', [1, 2, 0, 6, -1.5, 0]]],
  },
);

/**
 * θ ← θ·(1 − lr·weightDecay) − lr·sign(β1·m + (1 − β1)·g), then m ← β2·m + (1 − β2)·g. One dispatch a
 * stack of parameters, in the memory of the state that it is given. Its default rate is a quarter of AdamW's
 * and its decay four times as large, so that their product stays.
 *
 * Throws ConfigError for options out of range.
 * Source: Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, algorithm 2.
 */
export function lion(given: Partial<LionOptions> = {}): Optimizer {
  const { lr, betas, weightDecay } = readOptions(schema, given, 'lion');
  const [beta1, beta2] = betas;
  return {
    lr,
    init: (params) => zeroState(params, 'm'),
    update(grads, state, params, info) {
      const decay = [beta1, 1 - beta1, beta2, 1 - beta2] as const;
      const inputs = { grads, state, params };
      return scope(() =>
        updateStacks('lion', ['m'], inputs, info, ({ param, grad, lr }, m) =>
          lionUpdate(param, grad, donate(m), ...decay, 1 - lr * weightDecay, lr),
        ),
      );
    },
  };
}

/** The optimizer `lion` of a run. */
export const lionPart = definePart({ name: 'lion', schema, make: lion });
