import { ConfigError } from '@flex/base';
import type { Schedule } from '@flex/optim';

/** How many updates a run has. */
export interface RunLength {
  /** Updates it was begun with. */
  readonly steps: number;
  /** Each time that it was made longer, in order. */
  readonly extended: readonly Extension[];
}

export interface Extension {
  /** Updates of the whole run before and since. */
  readonly from: number;
  readonly to: number;
  /** Updates that were done: those after them have the learning rates of a run of `to` updates. */
  readonly at: number;
}

/** Updates of the whole run. */
export function totalSteps({ steps, extended }: RunLength): number {
  return extended.at(-1)?.to ?? steps;
}

/**
 * The length of a run of `steps` updates that begins, or goes on after `done` of them and had the length
 * `before`. Throws ConfigError for fewer than it had.
 */
export function lengthened(before: RunLength | null, steps: number, done: number): RunLength {
  if (before === null || done === 0) return { steps, extended: [] };
  const { steps: first, extended } = before;
  const from = totalSteps(before);
  if (steps === from) return { steps: first, extended };
  if (steps < from) {
    throw new ConfigError(
      `the run in \`out\` has ${from} updates, and this asks for ${steps}: a run is made longer, never shorter`,
    );
  }
  return { steps: first, extended: [...extended, { from, to: steps, at: done }] };
}

/**
 * f(i) = f_n(i), n being the updates that the whole run had when update i, from 0, was made, and f_n the
 * schedule of a run of n updates.
 */
export async function scheduleOf(
  { steps, extended }: RunLength,
  schedule: (totalSteps: number) => Promise<Schedule>,
): Promise<Schedule> {
  const spans = await Promise.all(
    [{ at: 0, to: steps }, ...extended].map(async ({ at, to }) => ({ at, f: await schedule(to) })),
  );
  return (update) => spans.findLast(({ at }) => at <= update)!.f(update);
}

/** What an extension does to the schedule, in words. */
export function describeExtension({ from, to, at }: Extension): string {
  return (
    `extended from ${from} to ${to} updates after ${at} of them: the learning rates up to there are those of a run of ` +
    `${from} updates, and from there on those of one of ${to}`
  );
}
