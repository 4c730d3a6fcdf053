import { readOptions } from '@flex/base';
import { checkPart } from '@flex/base/testing';
import { describeShared, goldenModels, goldens, openGolden } from '@flex/fixtures';
import { expect, it } from 'vitest';
import { constantSchedule, cosineSchedule, linearSchedule } from './schedule.ts';

interface Trajectory {
  readonly schedule: string;
  readonly warmup_steps: number;
  readonly steps: number;
  readonly learning_rate: number;
  readonly trajectory: readonly { readonly lr: number }[];
}

const schedules = [cosineSchedule, linearSchedule, constantSchedule];
const [cosine, linear, constant] = schedules.map(
  ({ schema, make }) =>
    (given: { warmupSteps?: number; minLrRatio?: number } = {}, totalSteps = 10) =>
      make(readOptions(schema, given, 'schedule'), { totalSteps }),
);

describeShared(goldens, 'of the reference trajectories', () => {
  it.each(goldenModels)('the learning rates of %s are equal', (model) => {
    const { learning_rate, trajectory, ...run } = openGolden(model).json<Trajectory>('train_adamw.json');
    expect(run.schedule).toBe('cosine');
    const f = cosine({ warmupSteps: run.warmup_steps }, run.steps);
    expect(trajectory.length).toBe(12);
    for (const [i, { lr }] of trajectory.entries()) expect(learning_rate * f(i)).toBeCloseTo(lr, 14);
  });
});

it('rises as a line through the warmup, whatever follows', () => {
  for (const make of [cosine, linear, constant]) {
    expect([0, 1, 2, 3, 4].map(make({ warmupSteps: 4, minLrRatio: 0.5 }))).toEqual([0, 0.25, 0.5, 0.75, 1]);
  }
});

it('without a warmup the first update has the whole rate', () => {
  for (const make of [cosine, linear, constant]) expect(make()(0)).toBe(1);
});

it('falls to the floor at the end and stays there', () => {
  for (const minLrRatio of [0, 0.1]) {
    expect(cosine({ minLrRatio })(5)).toBeCloseTo(minLrRatio + (1 - minLrRatio) / 2, 12);
    expect(linear({ minLrRatio })(4)).toBeCloseTo(minLrRatio + (1 - minLrRatio) * 0.6, 12);
    for (const i of [10, 11, 25]) {
      expect(cosine({ minLrRatio })(i)).toBe(minLrRatio);
      expect(linear({ minLrRatio })(i)).toBe(minLrRatio);
    }
  }
  expect(constant()(25)).toBe(1);
});

it('a warmup as long as the run or longer is only a warmup', () => {
  expect(cosine({ warmupSteps: 20 })(10)).toBe(0.5);
  expect(cosine({ warmupSteps: 10 })(10)).toBe(1);
});

it('every schedule is a part that refuses what is out of range', async () => {
  for (const part of schedules) await checkPart(part, { context: { totalSteps: 10 } });
  for (const wrong of [{ warmupSteps: -1 }, { warmupSteps: 1.5 }, { minLrRatio: 1.5 }]) {
    expect(() => cosine(wrong), JSON.stringify(wrong)).toThrow(/^schedule: (warmupSteps|minLrRatio) must be/);
  }
});
