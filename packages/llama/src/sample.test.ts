import fc from 'fast-check';
import { expect, test } from 'vitest';
import { argmax, sampleToken } from './sample.ts';

const logits = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 20 });
const draws = fc.double({ min: 0, max: 0.999999, noNaN: true });

test('temperature 0 takes the first of the largest, whatever the draw', () => {
  fc.assert(
    fc.property(logits, draws, (values, draw) => {
      expect(sampleToken(values, { temperature: 0, draw })).toBe(values.indexOf(Math.max(...values)));
    }),
  );
  expect(argmax([1, 3, 3])).toBe(1);
});

test('over all draws, each token comes as often as softmax(logits / temperature) says', () => {
  const values = [0.3, -1, 2, 0.3];
  const temperature = 0.7;
  const weights = values.map((v) => Math.exp(v / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  const n = 20_000;
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) counts[sampleToken(values, { temperature, draw: (i + 0.5) / n })]++;
  for (const [id, count] of counts.entries()) expect(count / n).toBeCloseTo(weights[id] / total, 3);
});

test('top-k keeps the k likeliest, top-p the fewest that reach p', () => {
  fc.assert(
    fc.property(logits, draws, fc.integer({ min: 1, max: 20 }), (values, draw, topK) => {
      const id = sampleToken(values, { temperature: 1, topK, draw });
      expect(values.filter((v) => v > values[id]).length).toBeLessThan(topK);
    }),
  );
  const values = [Math.log(0.5), Math.log(0.3), Math.log(0.2)];
  const drawn = (topP: number) =>
    new Set(
      Array.from({ length: 100 }, (_, i) => sampleToken(values, { temperature: 1, topP, draw: i / 100 })),
    );
  expect(drawn(0.4)).toEqual(new Set([0]));
  expect(drawn(0.6)).toEqual(new Set([0, 1]));
  expect(drawn(1)).toEqual(new Set([0, 1, 2]));
});

test.each([
  [{ temperature: -1 }, 'temperature'],
  [{ temperature: 1, topK: 0 }, 'top-k'],
  [{ temperature: 1, topP: 0 }, 'top-p'],
  [{ temperature: 1, topP: 1.5 }, 'top-p'],
])('%j is refused', (options, name) => {
  expect(() => sampleToken([1, 2], { draw: 0.5, ...options })).toThrow(name);
});
