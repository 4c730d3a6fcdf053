import type { StepMetrics } from '@flex/train';
import { expect, test } from 'vitest';
import { describeStep } from './progress.ts';

const line: StepMetrics = {
  step: 12,
  epoch: 1,
  lr: 1e-3,
  loss: 2.1044,
  penalty: 41.72,
  task_grad_norm: 0.7,
  grad_norm: 0.81,
  update_ratio: 0.01,
  tokens: 100,
  tokens_per_second: 812.3,
  seconds: 1,
  memory_bytes: 212 * 2 ** 20,
};

test('a step has one penalty, or each of several by its label', () => {
  expect(describeStep(line, 60).join('  ')).toBe(
    'step 12/60  loss 2.104  penalty 41.7  grad 0.810  812 tok/s  212 MiB',
  );
  const several = { ...line, 'penalty.fourier': 1.62, 'penalty.l2-2': 40.1 };
  expect(describeStep(several, 60).join('  ')).toBe(
    'step 12/60  loss 2.104  fourier 1.62  l2-2 40.1  grad 0.810  812 tok/s  212 MiB',
  );
});
