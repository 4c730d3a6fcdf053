import { treeLeaves } from '@flex/autograd';
import { definePart } from '@flex/base';
import type { Regularizer, RegularizerContext } from '@flex/peft';
import { add, scope, square, sub, sum } from '@flex/tensor';
import { z } from 'zod';

/** A stranger's penalty, Σ (w − w₀)², with options of every sort. */
export default definePart({
  name: 'drift',
  schema: z.strictObject({
    order: z.int().min(1).default(2),
    lookAhead: z.number().min(0).lt(1).default(0.5),
    weights: z.record(z.string(), z.number()).default({ q_proj: 1 }),
    driftSeed: z.int().default(7),
  }),
  make(_, { start }: RegularizerContext): Regularizer {
    const before = treeLeaves(start());
    return {
      penalty: (adapters) =>
        scope(() =>
          treeLeaves(adapters)
            .map((w, i) => sum(square(sub(w, before[i]))))
            .reduce(add),
        ),
    };
  },
});
