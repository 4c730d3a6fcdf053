import { describe, expect, test } from 'vitest';
import { add, clamp, erf, maximum, minimum, sigmoid, tanh, tensor, where } from '../index.ts';
import { describeEachBackend } from '../testing/index.ts';
import { lastGradients } from '../testing/last-gradients.ts';

describe('comparison', () => {
  describeEachBackend((backend) => {
    const row = (...data: number[]) => tensor(backend(), data, [data.length]);

    test('equal arguments of maximum and minimum get half of the gradient each', async () => {
      const [x, y, g] = [row(1, 2, 3), row(2, 2, 2), row(1, 1, 1)];
      expect(await lastGradients(() => maximum(x, y), g)).toEqual([
        [0, 0.5, 1],
        [1, 0.5, 0],
      ]);
      expect(await lastGradients(() => minimum(x, y), g)).toEqual([
        [1, 0.5, 0],
        [0, 0.5, 1],
      ]);
    });

    test('what bounds or chooses numbers hides no NaN', async () => {
      const [x, one] = [row(Number.NaN, 2, Number.NaN), row(1, 1, 1)];
      const bounded = [maximum(x, one), maximum(one, x), minimum(x, 3), minimum(one, x), clamp(x, -1, 1)];
      const chosen = [where(x, one, 2), where(add(x, one), one, x)];
      for (const y of [...bounded, ...chosen, tanh(x), sigmoid(x), erf(x)]) {
        expect(Array.from(await y.data(), Number.isNaN)).toEqual([true, false, true]);
      }
    });

    test('clamp hands the gradient on at both of its bounds, and not beyond', async () => {
      expect(await lastGradients(() => clamp(row(-1.5, -1, 0, 2, 2.5), -1, 2), row(1, 1, 1, 1, 1))).toEqual([
        [0, 1, 1, 1, 0],
      ]);
    });

    test('where sends each gradient to the side it took, and none to the condition', async () => {
      const [condition, x, y, g] = [row(0, 1, -3), row(1, 2, 3), row(4), row(7, 8, 9)];
      expect(await lastGradients(() => where(condition, x, y), g)).toEqual([null, [0, 8, 9], [7]]);
    });
  });
});
