import {
  abs,
  add,
  clamp,
  concat,
  div,
  donate,
  equal,
  greater,
  less,
  maximum,
  mul,
  scope,
  size,
  sub,
  sum,
  type Tensor,
  where,
} from '@flex/tensor';
import { elementwise, elementwiseAll, rowSum, rowwise, rowwiseAll } from '@flex/tensor/kernel';
import { z } from 'zod';
import {
  type Curvature,
  estimateOf,
  isDue,
  type Optimizer,
  type StackUpdate,
  updateStacks,
  zeroState,
} from './optimizer.ts';
import { stack } from './stacks.ts';
import { lastingSymptoms, patience, type Symptom } from './symptoms.ts';

/** The options of both Sophias, which differ in γ's default. */
export const sophiaSchema = (gamma: number) =>
  z.strictObject({
    /** Learning rate that the schedule scales: the longest step of a coordinate. */
    lr: z.number().positive().default(2e-4),
    /** Decay of the means of gradients and of curvature estimates. */
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .readonly()
      .describe('a list of two numbers such as [0.965, 0.99]')
      .default([0.965, 0.99]),
    /** γ: a coordinate is clipped where |m| ≥ γ·h, so a larger one clips fewer and shortens their steps. */
    gamma: z.number().positive().default(gamma),
    /** The least that γ·h counts for: where the curvature is 0 or below, the step is that of the sign. */
    eps: z.number().positive().default(1e-12),
    /** k: updates from one estimate of the curvature to the next. */
    every: z.int().min(1).default(10),
    /** Take h/(1 − β2ⁿ) for h after n estimates. */
    biasCorrection: z.boolean().default(false),
    /** Decoupled: the parameter shrinks by lr·weightDecay, whatever its gradient. */
    weightDecay: z.number().min(0).default(0.01),
  });

export type SophiaOptions = z.output<ReturnType<typeof sophiaSchema>>;

/** Of p, g, m and h: the new p and m, in one kernel. */
const sophiaUpdate = elementwiseAll(
  'sophiaUpdate',
  10,
  (p, g, m, h, beta, fresh, gamma, eps, keep, lr) => {
    const mean = add(mul(beta, m), mul(fresh, g));
    const step = clamp(div(mean, maximum(mul(gamma, h), eps)), -1, 1);
    return [sub(mul(keep, p), mul(lr, step)), mean];
  },
  {
    numbers: [0.75, 0.25, 0.5, 0.25, 0.5, 0.125],
    known: [
      [
        '[4, 0, 1, 1] [8, 2, -8, 0] [4, -2, -8, 0] [20, -4, 1, 0] 0.75 0.25 0.5 0.25 0.5 0.5',
        [1.75, 0.5, 1, 0.5, 5, -1, -8, 0],
      ],
    ],
  },
);

/** β·mean + (1 − β)·x. */
const movingMean = elementwise('movingMean', (mean, x, beta, fresh) => add(mul(beta, mean), mul(fresh, x)), {
  numbers: [0.75, 0.25],
});

/** Along rows how many there are where |m| < max(γ·h, ε), and how many where h ≤ 0. */
const sophiaCounts = rowwiseAll(
  'sophiaCounts',
  ['row', 'row', 'number', 'number'],
  (m, h, gamma, eps) => [
    rowSum(less(abs(m), maximum(mul(gamma, h), eps))),
    rowSum(where(greater(h, 0), 0, 1)),
  ],
  { vjp: null, numbers: [0.5, 0.25] },
);

/** Along rows how many there are where two are equal. */
const equalCount = rowwise('equalCount', ['row', 'row'], (x, y) => rowSum(equal(x, y)), { vjp: null });

/**
 * θ ← θ·(1 − lr·weightDecay) − lr·clip(m / max(γ·h, ε), 1) with m ← β1·m + (1 − β1)·g and, at updates 1, 1
 * + k, …, before the step, h ← β2·h + (1 − β2)·ĥ of an estimate ĥ of the Hessian's diagonal. One dispatch a
 * stack of parameters for the step, in the memory of the state that it is given.
 *
 * It tells `win_rate`, the share of coordinates that are not clipped, `h_zero`, of those whose h is 0 or below,
 * and, when h was refreshed, `h_unchanged`, of those whose h stayed as it was.
 *
 * Source: Liu et al., Sophia, 2023, algorithm 3; max{γ·h, ε} is that of its later versions.
 */
export function sophia(
  name: string,
  { lr, betas, gamma, eps, every, biasCorrection, weightDecay }: SophiaOptions,
  estimate: Curvature['estimate'],
): Optimizer {
  const [beta1, beta2] = betas;
  const curvature: Curvature = { every, estimate };
  return {
    lr,
    curvature,
    init: (params) => zeroState(params, 'm', 'h'),
    update(grads, state, params, info) {
      const refresh = isDue(curvature, info.step);
      const estimates = Math.floor((info.step - 1) / every) + 1;
      // NUMERICS: neither m nor h is corrected for its start by default: so the paper and its code have it.
      const scale = gamma / (biasCorrection ? 1 - beta2 ** estimates : 1);
      return scope(() => {
        if (refresh) for (const [key, p] of params) estimateOf(name, info, key, p);
        const counts = { win_rate: [] as Tensor[], h_zero: [] as Tensor[], h_unchanged: [] as Tensor[] };
        const rule = ({ names, param, grad, lr }: StackUpdate, m: Tensor, before: Tensor) => {
          let h = before;
          if (refresh) {
            h = movingMean(before, stack(info.curvature!, names), beta2, 1 - beta2);
            counts.h_unchanged.push(equalCount(before, h));
          }
          const step = [scale, eps, 1 - lr * weightDecay, lr] as const;
          const [moved, mean] = sophiaUpdate(param, grad, donate(m), h, beta1, 1 - beta1, ...step);
          const [unclipped, flat] = sophiaCounts(mean, h, scale, eps);
          counts.win_rate.push(unclipped);
          counts.h_zero.push(flat);
          return [moved, mean, h];
        };
        const after = updateStacks(name, ['m', 'h'], { grads, state, params }, info, rule);
        const total = [...params.values()].reduce((n, { shape }) => n + size(shape), 0);
        const shares = Object.entries(counts).filter(([, cells]) => cells.length > 0);
        const shareOf = (cells: readonly Tensor[]) => div(sum(concat(cells, 0)), total);
        return { ...after, diagnostics: new Map(shares.map(([key, cells]) => [key, shareOf(cells)])) };
      });
    },
    health: (update, before) => lastingSymptoms(symptoms, update, before),
  };
}

const symptoms: readonly Symptom[] = [
  {
    words:
      `over 99 % of coordinates were clipped in each of ${patience} updates: this is sign momentum; ` +
      'raise gamma, or take bias_correction while h is young',
    holds: (of) => of('win_rate') < 0.01,
  },
  {
    words: `under 1 % of coordinates were clipped in each of ${patience} updates: no step is held back; lower gamma`,
    holds: (of) => of('win_rate') > 0.99,
  },
  {
    words: `h has not changed for ${patience} updates: the steps do not follow the curvature; is every too large?`,
    holds: (of) => !(of('h_unchanged') < 1),
  },
  {
    words:
      `more than half of h was 0 or below in each of ${patience} updates: there the step is that of the sign; ` +
      'a larger batch estimates it better',
    holds: (of) => of('h_zero') > 0.5,
  },
];
