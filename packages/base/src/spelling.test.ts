import fc from 'fast-check';
import { expect, test } from 'vitest';
import { respell } from './spelling.ts';

test.each([
  ['lr', 'lr'],
  ['warmupSteps', 'warmup_steps'],
  ['minLrRatio', 'min_lr_ratio'],
  ['aB', 'a_b'],
  ['top_1', 'top_1'],
])('%s is %s in files, and back', (here, there) => {
  expect(respell(here)).toBe(there);
  expect(respell(there)).toBe(here);
});

test('any name comes back as it was', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-zA-Z0-9_.*-]*$/), (name) => {
      expect(respell(respell(name))).toBe(name);
    }),
  );
});
