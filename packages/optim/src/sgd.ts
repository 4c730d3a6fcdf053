import { definePart, readOptions } from '@flex/base';
import { add, donate, mul, scope, sub } from '@flex/tensor';
import { elementwiseAll } from '@flex/tensor/kernel';
import { z } from 'zod';
import { type Optimizer, updateStacks, zeroState } from './optimizer.ts';

const schema = z.strictObject({
  /** Learning rate that the schedule scales. */
  lr: z.number().positive().default(0.1),
  /** μ: the share of the last step's direction in the next; 0 is plain gradient descent. */
  momentum: z.number().min(0).lt(1).default(0.9),
  /** Decoupled: the parameter shrinks by lr·weightDecay, whatever its gradient. */
  weightDecay: z.number().min(0).default(0),
});

export type SgdOptions = z.output<typeof schema>;

/** Of p, g and m: the new p and m, in one kernel. */
const sgdUpdate = elementwiseAll(
  'sgdUpdate',
  6,
  (p, g, m, momentum, keep, lr) => {
    const direction = add(mul(momentum, m), g);
    return [sub(mul(keep, p), mul(lr, direction)), direction];
  },
  { numbers: [0.75, 0.5, 0.125], known: [['[4, 2] [8, -4] [4, 0] 0.5 0.5 0.25', [-0.5, 2, 10, -4]]] },
);

/**
 * θ ← θ·(1 − lr·weightDecay) − lr·m with m ← μ·m + g: gradient descent with momentum as torch.optim.SGD has
 * it (Polyak's, without dampening), the decay decoupled. One dispatch a stack of parameters, in
 * the memory of the state that it is given. Throws ConfigError for options out of range.
 * Source: Polyak 1964; Loshchilov and Hutter, 2019, algorithm 1.
 */
export function sgd(given: Partial<SgdOptions> = {}): Optimizer {
  const { lr, momentum, weightDecay } = readOptions(schema, given, 'sgd');
  return {
    lr,
    init: (params) => zeroState(params, 'm'),
    update: (grads, state, params, info) =>
      scope(() =>
        updateStacks('sgd', ['m'], { grads, state, params }, info, ({ param, grad, lr }, m) =>
          sgdUpdate(param, grad, donate(m), momentum, 1 - lr * weightDecay, lr),
        ),
      ),
  };
}

/** The optimizer `sgd` of a run. */
export const sgdPart = definePart({ name: 'sgd', schema, make: sgd });
