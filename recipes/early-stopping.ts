import { definePart } from '@flex/base';
import type { Callback } from '@flex/train';
import { z } from 'zod';

/** Ends a run whose mean held-out loss has not fallen for `patience` evaluations, and logs the lowest. */
export default definePart({
  name: 'early-stopping',
  schema: z.strictObject({ patience: z.int().min(1).default(3) }),
  make: ({ patience }): Callback => ({
    onEval({ history, log, stop }, losses) {
      const means = [...history.map((line) => line.eval), losses]
        .filter((one) => one !== undefined)
        .map(mean);
      const lowest = Math.min(...means);
      log({ lowest_loss: lowest });
      if (means.length - 1 - means.indexOf(lowest) >= patience)
        stop(`no lower loss in ${patience} evaluations`);
    },
  }),
});

function mean(losses: Readonly<Record<string, number>>): number {
  const values = Object.values(losses);
  return values.reduce((sum, loss) => sum + loss, 0) / values.length;
}
