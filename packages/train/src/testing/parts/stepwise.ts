import { definePart } from '@flex/base';
import type { ScheduleContext } from '@flex/optim';
import { z } from 'zod';

/** A stranger's schedule: the rate falls to a half `steps` times in the run. */
export default definePart({
  name: 'stepwise',
  schema: z.strictObject({ halvings: z.int().min(1) }),
  make:
    ({ halvings }, { totalSteps }: ScheduleContext) =>
    (i: number) =>
      0.5 ** Math.floor((i * (halvings + 1)) / totalSteps),
});
