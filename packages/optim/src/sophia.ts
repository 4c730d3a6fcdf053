import {
  abs,
  add,
  clamp,
  div,
  donate,
  equal,
  greater,
  less,
  maximum,
  mul,
  reshape,
  scope,
  size,
  sub,
  type Tensor,
  where,
  zeros,
} from '@flex/tensor';
import { elementwise, elementwiseAll, rowSum, rowwise, rowwiseAll, twin } from '@flex/tensor/kernel';
import { z } from 'zod';
import {
  type Columns,
  type Curvature,
  estimateOf,
  isDue,
  type Optimizer,
  type ParameterUpdate,
  updateEach,
  zeroState,
} from './optimizer.ts';
import { asRow } from './update-ratio.ts';

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

/** Counts carried from parameter to parameter: where |m| < max(γ·h, ε), and where h ≤ 0. */
const sophiaCounts = rowwiseAll(
  'sophiaCounts',
  ['row', 'row', 'cell', 'cell', 'number', 'number'],
  (m, h, unclipped, flat, gamma, eps) => [
    add(unclipped, rowSum(less(abs(m), maximum(mul(gamma, h), eps)))),
    add(flat, rowSum(where(greater(h, 0), 0, 1))),
  ],
  { vjp: null, numbers: [0.5, 0.25] },
);

/** A count carried on: where two rows are equal. */
const equalCount = rowwise(
  'equalCount',
  ['row', 'row', 'cell'],
  (x, y, total) => add(total, rowSum(equal(x, y))),
  { vjp: null },
);

/**
 * θ ← θ·(1 − lr·weightDecay) − lr·clip(m / max(γ·h, ε), 1) with m ← β1·m + (1 − β1)·g and, at updates 1, 1
 * + k, …, before the step, h ← β2·h + (1 − β2)·ĥ of an estimate ĥ of the Hessian's diagonal. One dispatch a
 * parameter for the step, in the memory of the state that it is given.
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
        const fresh = new Map<string, Tensor>();
        if (refresh) for (const [key, p] of params) fresh.set(key, estimateOf(name, info, key, p));
        const [{ backend }] = params.values();
        let [unclipped, flat, unchanged] = [0, 0, 0].map(() => zeros(backend, [1]));
        const decay = [beta1, 1 - beta1] as const;
        const rule = ({ name: key, param, grad, lr }: ParameterUpdate, m: Tensor, before: Tensor) => {
          const estimate = fresh.get(key);
          const h = estimate ? movingMean(before, estimate, beta2, 1 - beta2) : twin(before);
          if (estimate) unchanged = equalCount(asRow(before), asRow(h), unchanged);
          before.dispose();
          const step = [scale, eps, 1 - lr * weightDecay, lr] as const;
          const [moved, mean] = sophiaUpdate(param, grad, donate(m), h, ...decay, ...step);
          [unclipped, flat] = sophiaCounts(asRow(mean), asRow(h), unclipped, flat, scale, eps);
          return [moved, mean, h];
        };
        const after = updateEach(name, ['m', 'h'], { grads, state, params }, info, rule);
        const total = [...params.values()].reduce((n, { shape }) => n + size(shape), 0);
        const share = (count: Tensor) => reshape(div(count, total), []);
        const diagnostics = new Map([
          ['win_rate', share(unclipped)],
          ['h_zero', share(flat)],
        ]);
        if (refresh) diagnostics.set('h_unchanged', share(unchanged));
        return { ...after, diagnostics };
      });
    },
    health,
  };
}

/** Updates in a row that something must hold in before it is said. */
const patience = 50;

/** What is said where something holds of each of so many updates. */
const symptoms: readonly { readonly words: string; holds(of: (column: string) => number): boolean }[] = [
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

function health(update: Columns, before: readonly Columns[]): string[] {
  const recent = [...before.slice(1 - patience), update];
  if (recent.length < patience) return [];
  const numberIn = (columns: Columns) => (column: string) => {
    const value = columns[column];
    return typeof value === 'number' ? value : Number.NaN;
  };
  return symptoms
    .filter(({ holds }) => recent.every((line) => holds(numberIn(line))))
    .map(({ words }) => words);
}
