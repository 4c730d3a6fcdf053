import { describe, expect, test } from 'vitest';
import type { Contrast, StudyAnalysis } from './analysis.ts';
import type { Arm } from './arms.ts';
import { measureClaims, requireClaims } from './claims.ts';
import type { StudyClaim } from './study-schema.ts';

const measure = 'java pass@1';
const claim = (arm: string, against?: string): StudyClaim => ({
  text: 'it is better',
  figure: '42.07 % against 34.2 %',
  source: 'the paper',
  arm,
  ...(against !== undefined && { against }),
  measure,
});

const contrast = (arm: string, against: string | null, value: number): Contrast => ({
  question: 'levels',
  arm,
  against,
  control: null,
  measure,
  difference: { value, ci95: [value - 0.03, value + 0.01] },
  bySeed: [],
  p: 0.5,
  pHolm: 0.5,
  detectable: 0.1,
});

const analysis: StudyAnalysis = {
  measures: [
    { name: 'python', kind: 'held-out-loss', unit: 'nats', lowerIsBetter: true, n: 16 },
    { name: measure, kind: 'pass', unit: 'share', lowerIsBetter: false, n: 158 },
  ],
  base: [{ measure, value: 0.33 }],
  arms: [
    { arm: 'none', measure: 'python', mean: { value: 2, ci95: null }, bySeed: [] },
    { arm: 'none', measure, mean: { value: 0.31, ci95: [0.3, 0.32] }, bySeed: [] },
    { arm: 'fourier', measure, mean: { value: 0.36, ci95: null }, bySeed: [] },
  ],
  contrasts: [
    { ...contrast('fourier', null, 9), measure: 'python' },
    contrast('fourier', null, 0.03),
    contrast('none', 'fourier', -0.05),
  ],
  families: [],
  conclusions: { overall: [], armByArm: [] },
  caveats: [],
};
const measured = (one: StudyClaim) => measureClaims([one], analysis)[0];

describe('a claim stands beside', () => {
  test('the mean of its arm and what it is compared with', () => {
    expect(measured(claim('fourier', 'base-model'))).toEqual({
      ...claim('fourier', 'base-model'),
      unit: 'share',
      mean: { value: 0.36, ci95: null },
      other: 0.33,
      difference: { value: 0.03, ci95: [0, 0.04] },
    });
  });

  test('a difference taken the other way round, with its interval turned', () => {
    const { other, difference } = measured(claim('fourier', 'none'));
    expect(other).toBe(0.31);
    expect(difference!.value).toBeCloseTo(0.05, 12);
    expect(difference!.ci95![0]).toBeCloseTo(0.04, 12);
    expect(difference!.ci95![1]).toBeCloseTo(0.08, 12);
  });

  test('the mean alone where it is compared with nothing', () => {
    expect(measured(claim('none'))).toMatchObject({
      mean: { value: 0.31, ci95: [0.3, 0.32] },
      other: null,
      difference: null,
    });
  });

  test('nothing, where no run of its arm is done, or nothing is measured that it names', () => {
    expect(measured(claim('rank-4', 'fourier'))).toMatchObject({ mean: null, other: 0.36, difference: null });
    const { unit, mean, other, difference } = measured({ ...claim('none', 'base-model'), measure: 'C++' });
    expect([unit, mean, other, difference]).toEqual([null, null, null, null]);
  });
});

describe('a claim is refused', () => {
  const arms = ['none', 'fourier'].map((name) => ({ name }) as Arm);
  test.each([
    [claim('fourrier'), /^s\.yaml: claims\.0 is on fourrier, .* did you mean fourier\?$/],
    [claim('none', 'fourrier'), /^s\.yaml: claims\.0 is on fourrier, .* did you mean fourier\?$/],
    [claim('base-model'), /^s\.yaml: claims\.0 is on base-model, which is no arm/],
    [claim('base-model', 'none'), /^s\.yaml: claims\.0 is on base-model, which is no arm/],
  ])('%j', (one, message) => {
    expect(() => requireClaims({ file: 's.yaml', claims: [one] }, arms)).toThrow(message);
  });

  test('no other', () => {
    const claims = [claim('fourier', 'none'), claim('none', 'base-model'), claim('none')];
    expect(() => requireClaims({ file: 's.yaml', claims }, arms)).not.toThrow();
  });
});
