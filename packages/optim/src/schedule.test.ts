import { ConfigError } from '@flex/base';
import { describeShared, goldenModels, goldens, openGolden } from '@flex/fixtures';
import { expect, it } from 'vitest';
import { type ScheduleOptions, schedule } from './schedule.ts';

const plain: ScheduleOptions = { name: 'cosine', warmupSteps: 0, totalSteps: 10, minLrRatio: 0 };

interface Trajectory {
  readonly schedule: ScheduleOptions['name'];
  readonly warmup_steps: number;
  readonly steps: number;
  readonly learning_rate: number;
  readonly trajectory: readonly { readonly lr: number }[];
}

describeShared(goldens, 'of the reference trajectories', () => {
  it.each(goldenModels)('the learning rates of %s are equal', (model) => {
    const { learning_rate, trajectory, ...run } = openGolden(model).json<Trajectory>('train_adamw.json');
    const [warmupSteps, totalSteps] = [run.warmup_steps, run.steps];
    const f = schedule({ name: run.schedule, warmupSteps, totalSteps, minLrRatio: 0 });
    expect(trajectory.length).toBe(12);
    for (const [i, { lr }] of trajectory.entries()) expect(learning_rate * f(i)).toBeCloseTo(lr, 14);
  });
});

it('rises as a line through the warmup, whatever follows', () => {
  for (const name of ['cosine', 'linear', 'constant'] as const) {
    const f = schedule({ name, warmupSteps: 4, totalSteps: 10, minLrRatio: 0.5 });
    expect([0, 1, 2, 3, 4].map(f)).toEqual([0, 0.25, 0.5, 0.75, 1]);
  }
});

it('without a warmup the first update has the whole rate', () => {
  for (const name of ['cosine', 'linear', 'constant'] as const)
    expect(schedule({ ...plain, name })(0)).toBe(1);
});

it('falls to the floor at the end and stays there', () => {
  for (const minLrRatio of [0, 0.1]) {
    const cosine = schedule({ ...plain, minLrRatio });
    expect(cosine(5)).toBeCloseTo(minLrRatio + (1 - minLrRatio) / 2, 12);
    const linear = schedule({ ...plain, name: 'linear', minLrRatio });
    expect(linear(4)).toBeCloseTo(minLrRatio + (1 - minLrRatio) * 0.6, 12);
    for (const i of [10, 11, 25]) {
      expect(cosine(i)).toBe(minLrRatio);
      expect(linear(i)).toBe(minLrRatio);
    }
  }
  expect(schedule({ ...plain, name: 'constant' })(25)).toBe(1);
});

it('a warmup as long as the run or longer is only a warmup', () => {
  const f = schedule({ ...plain, warmupSteps: 20 });
  expect(f(10)).toBe(0.5);
  expect(schedule({ ...plain, warmupSteps: 10 })(10)).toBe(1);
});

it('options out of range are refused', () => {
  const wrong = [
    { name: 'cosin' as 'cosine' },
    { warmupSteps: -1 },
    { warmupSteps: 1.5 },
    { totalSteps: 0 },
    { minLrRatio: 1.5 },
  ];
  for (const part of wrong)
    expect(() => schedule({ ...plain, ...part }), JSON.stringify(part)).toThrow(ConfigError);
});
