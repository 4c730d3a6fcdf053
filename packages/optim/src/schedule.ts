import { definePart } from '@flex/base';
import { z } from 'zod';

/** The factor of the learning rate of update i, from 0. */
export type Schedule = (i: number) => number;

/** What a run tells the part that makes its schedule. */
export interface ScheduleContext {
  /** Updates of the whole run, those of the warmup included. */
  readonly totalSteps: number;
}

const schema = z.strictObject({
  /** Updates over which the rate rises from 0. */
  warmupSteps: z.int().min(0).default(0),
  /** What the rate falls to after the warmup, as a share of its peak. */
  minLrRatio: z.number().min(0).max(1).default(0),
});

/** f(progress) = ½(1 + cos π·progress). */
export const cosineSchedule = schedule('cosine', (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)));
/** f(progress) = 1 − progress. */
export const linearSchedule = schedule('linear', (progress) => 1 - progress);
/** f(progress) = 1. */
export const constantSchedule = schedule('constant', () => 1);

/**
 * The schedule of a run whose factor is i/warmup below the warmup, then min + (1 − min)·f(progress) with
 * progress = (i − warmup)/(total − warmup). Beyond the last update it stays where it ended. As Hugging
 * Face's schedules of these names.
 */
function schedule<const Name extends string>(name: Name, f: (progress: number) => number) {
  return definePart({
    name,
    schema,
    make: ({ warmupSteps, minLrRatio }, { totalSteps }: ScheduleContext): Schedule => {
      return (i) => {
        if (i < warmupSteps) return i / warmupSteps;
        const progress = Math.min(1, (i - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
        return minLrRatio + (1 - minLrRatio) * f(progress);
      };
    },
  });
}
