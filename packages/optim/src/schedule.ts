import { ConfigError } from '@flex/base';

export interface ScheduleOptions {
  readonly name: 'cosine' | 'linear' | 'constant';
  /** Updates over which the rate rises from 0. */
  readonly warmupSteps: number;
  /** Updates of the whole run, those of the warmup included. */
  readonly totalSteps: number;
  /** What the rate falls to after the warmup, as a share of its peak. */
  readonly minLrRatio: number;
}

/**
 * The factor f(i) of the learning rate of update i, from 0: i/warmup below the warmup, then
 * min + (1 − min)·shape(progress) with progress = (i − warmup)/(total − warmup), where shape is
 * ½(1 + cos π·progress), 1 − progress or 1. Beyond the last update it stays where it ended.
 *
 * As Hugging Face's schedules of these names. Throws ConfigError for options out of range.
 */
export function schedule({
  name,
  warmupSteps,
  totalSteps,
  minLrRatio,
}: ScheduleOptions): (i: number) => number {
  const shape = shapes[name];
  if (!shape) fail('name', `one of ${Object.keys(shapes).join(', ')}`, name);
  if (!(Number.isInteger(warmupSteps) && warmupSteps >= 0))
    fail('warmupSteps', 'a whole number ≥ 0', warmupSteps);
  if (!(Number.isInteger(totalSteps) && totalSteps >= 1))
    fail('totalSteps', 'a whole number ≥ 1', totalSteps);
  if (!(minLrRatio >= 0 && minLrRatio <= 1)) fail('minLrRatio', 'in [0, 1]', minLrRatio);
  return (i) => {
    if (i < warmupSteps) return i / warmupSteps;
    const progress = Math.min(1, (i - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
    return minLrRatio + (1 - minLrRatio) * shape(progress);
  };
}

const shapes: Record<ScheduleOptions['name'], (progress: number) => number> = {
  cosine: (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)),
  linear: (progress) => 1 - progress,
  constant: () => 1,
};

function fail(key: string, needs: string, came: unknown): never {
  throw new ConfigError(`schedule: ${key} must be ${needs}, got ${came}`);
}
