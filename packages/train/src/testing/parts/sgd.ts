import { definePart } from '@flex/base';
import type { Optimizer } from '@flex/optim';
import { addScaled, scope } from '@flex/tensor';
import { z } from 'zod';

/** A stranger's optimizer: p ← p − lr·g. */
export default definePart({
  name: 'plain-sgd',
  schema: z.strictObject({ lr: z.number().positive().default(0.1) }),
  make: ({ lr }): Optimizer => ({
    lr,
    init: () => new Map(),
    update: (grads, state, params, { lr }) =>
      scope(() => ({
        params: new Map([...params].map(([name, p]) => [name, addScaled(p, grads.get(name)!, -lr)])),
        state,
      })),
  }),
});
